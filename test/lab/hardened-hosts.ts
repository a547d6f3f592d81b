// Firewalls that distributions ship, on the lab's host alone: with a copy of their configuration, and a D-Bus of their own.

import { cp, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Lab, type Result, run, until } from "./lib/index.js";

/** Runs a subcommand of the firewall's tool. */
export type Tool = (...args: string[]) => Promise<Result>;

/** ufw with a copy of the configuration that its package has; what it does to the host's files is seen by itself only. */
export async function ufw({ host, dir }: Lab): Promise<{ ufw: Tool; afterRules: string }> {
  const [rules, defaults] = [join(dir, "ufw"), join(dir, "ufw-default")];
  await cp("/etc/ufw", rules, { recursive: true });
  await cp("/etc/default/ufw", defaults);
  const privately = `mount --bind ${rules} /etc/ufw && mount --bind ${defaults} /etc/default/ufw && exec "$@"`;
  const enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", privately, "sh"];
  return {
    ufw: (...args) => host.exec([...enter, "ufw", ...args]),
    afterRules: join(rules, "after.rules"),
  };
}

/** A system bus on which everybody may say everything. */
const busConfiguration = (socket: string) => `<!DOCTYPE busconfig PUBLIC
 "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=${socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow send_type="method_call"/>
    <allow receive_type="method_call"/>
  </policy>
</busconfig>
`;

/** firewalld, running, with the configuration that its package has; `bus` is what tells an engine of it. */
export async function firewalld({ host, dir, disposers }: Lab): Promise<{
  firewallCmd: Tool;
  bus: Record<string, string>;
}> {
  const at = join(dir, "firewalld");
  const socket = join(at, "bus");
  const bus = { DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${socket}` };
  await mkdir(at);
  await cp("/etc/firewalld", join(at, "etc"), { recursive: true });
  await writeFile(join(at, "bus.conf"), busConfiguration(socket));
  host.spawn(["dbus-daemon", `--config-file=${join(at, "bus.conf")}`, "--nofork", "--nopidfile"], {
    disposers,
  });
  await until(
    "the bus is there",
    async () => (await run(["test", "-S", socket], { mayFail: true })).code === 0,
  );
  const files = ["--system-config", join(at, "etc"), "--log-target", "file", "--log-file", join(at, "log")];
  host.spawn(["firewalld", "--nofork", "--nopid", ...files], { env: bus, disposers });
  const firewallCmd: Tool = (...args) => host.exec(["firewall-cmd", ...args], { env: bus, timeout: 30_000 });
  await until(
    "firewalld runs",
    async () => (await host.exec(["firewall-cmd", "--state"], { env: bus, mayFail: true })).code === 0,
    { timeout: 60_000, every: 200 },
  );
  return { firewallCmd, bus };
}
