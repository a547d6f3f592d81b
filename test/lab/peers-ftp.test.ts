// FTP names addresses and ports inside its control connection. Where the kernel's FTP helper is assigned it rewrites them and
// expects the data connections; where it is not, some ways of FTP don't work through NAT. Both as with the engine alone.

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Family, families } from "./families.js";
import { createLab, enginesToTest, type Fairway, type Lab, type Namespace, sleep } from "./lib/index.js";

const fileSize = 300_000;

/** fairway has read rules that changed: after a second at the latest, and it takes its time. */
const rulesRead = 1500;

/** Starts vsftpd with a file for everyone. */
async function serveFtp(place: Namespace, { dir, disposers }: Lab): Promise<void> {
  const root = join(dir, "ftp");
  const empty = join(dir, "ftp-empty");
  await Promise.all([mkdir(root, { recursive: true }), mkdir(empty, { recursive: true })]);
  await writeFile(join(root, "file"), Buffer.alloc(fileSize, "fairway "));
  const config = join(dir, "vsftpd.conf");
  const settings = {
    listen: "NO",
    listen_ipv6: "YES", // IPv4's clients as well.
    background: "NO",
    anonymous_enable: "YES",
    no_anon_password: "YES",
    local_enable: "NO",
    anon_root: root,
    secure_chroot_dir: empty,
    connect_from_port_20: "YES",
    pasv_min_port: 30000,
    pasv_max_port: 30100,
    seccomp_sandbox: "NO",
    isolate_network: "NO",
  };
  await writeFile(
    config,
    Object.entries(settings)
      .map(([key, value]) => `${key}=${value}\n`)
      .join(""),
  );
  const server = place.spawn(["vsftpd", config], { disposers });
  await sleep(300); // It says nothing when it listens.
  if (!server.running) throw new Error(`vsftpd: ${server.stdout}${server.stderr}`);
}

/** The commands by which a client asks for a data connection. */
const ways = {
  PASV: ["--disable-epsv", "--no-ftp-skip-pasv-ip"],
  EPSV: [],
  PORT: ["--ftp-port", "-", "--disable-eprt"],
  EPRT: ["--ftp-port", "-"],
} as const;

/** Fetches the file twice by one control connection: what came, or how curl failed. */
async function fetchTwice(from: Namespace, { quote }: Family, to: string, options: readonly string[]) {
  const url = `ftp://${quote(to)}/file`;
  const each = ["-o", "/dev/null", url];
  const command = [
    "curl",
    "-sS",
    "-g",
    "-w",
    "%{size_download} ",
    "--fail-early",
    "--max-time",
    "3",
    ...options,
  ];
  const { code, stdout } = await from.exec([...command, ...each, ...each], { mayFail: true });
  return `${stdout.trim()}, exit status ${code}`;
}

const complete = `${fileSize} ${fileSize}, exit status 0`;

/** Every way in both families, in and out, all at once. */
async function exchange(lab: Lab): Promise<Record<string, string>> {
  const inside = (await lab.engine.container("inside")).namespace;
  const answers = families.flatMap((family) =>
    Object.entries(ways)
      .filter(([way]) => family.name === "IPv4" || way.startsWith("E")) // PASV and PORT are IPv4's only.
      .flatMap(([way, options]) =>
        (
          [
            ["to a published port", lab.client, family.addresses.host],
            ["to the outside", inside, family.addresses.internet],
          ] as const
        ).map(async ([where, from, to]) => [
          `${family.name} ${way} ${where}`,
          await fetchTwice(from, family, to, options),
        ]),
      ),
  );
  return Object.fromEntries(await Promise.all(answers));
}

/** Ways to assign the helper, and to take it away. */
const assignments = {
  iptables: {
    async add({ host }: Lab) {
      for (const program of ["iptables", "ip6tables"])
        await host.exec([program, "-t", "raw", "-A", "PREROUTING", ...rule]);
    },
    async remove({ host }: Lab) {
      for (const program of ["iptables", "ip6tables"])
        await host.exec([program, "-t", "raw", "-D", "PREROUTING", ...rule]);
    },
  },
  nftables: {
    async add({ host }: Lab) {
      const text = `table inet helpers {
        ct helper ftp4 { type "ftp" protocol tcp; l3proto ip; }
        ct helper ftp6 { type "ftp" protocol tcp; l3proto ip6; }
        chain prerouting {
          type filter hook prerouting priority -150;
          meta nfproto ipv4 tcp dport 21 ct helper set "ftp4"
          meta nfproto ipv6 tcp dport 21 ct helper set "ftp6"
        }
      }`;
      await host.exec(["nft", "-f", "-"], { input: text });
    },
    async remove({ host }: Lab) {
      await host.exec(["nft", "delete", "table", "inet", "helpers"]);
    },
  },
};

const rule = ["-p", "tcp", "--dport", "21", "-j", "CT", "--helper", "ftp"];

describe.each(enginesToTest())("FTP, engine %s", (kind) => {
  let lab: Lab;
  let fairway: Fairway;
  let unaided: Record<string, string>;
  let aided: Record<string, string>;

  beforeAll(async () => {
    lab = await createLab({ kind, ipv6: true });
    const server = await lab.engine.run("busybox", { name: "server", publish: ["21:21"] });
    await lab.engine.run("busybox", { name: "inside" });
    await serveFtp(server.namespace, lab);
    await serveFtp(lab.internet, lab);
    unaided = await exchange(lab);
    await assignments.iptables.add(lab);
    aided = await exchange(lab);
    fairway = await lab.fairway();
    for (const name of ["server", "inside"]) await fairway.knows(name);
  }, 120_000);
  afterAll(() => lab?.dispose(), 60_000);

  it("differs with and without the helper, with the engine alone", () => {
    for (const [name, answer] of Object.entries(aided)) expect(answer, name).toBe(complete);
    const broken = Object.keys(unaided).filter((name) => unaided[name] !== complete);
    // The server names its own address or port, or the client in the container does.
    expect(broken.sort()).toEqual([
      "IPv4 EPRT to the outside",
      "IPv4 EPSV to a published port",
      "IPv4 PASV to a published port",
      "IPv4 PORT to the outside",
      "IPv6 EPRT to the outside",
      "IPv6 EPSV to a published port",
    ]);
  });

  it("works with the helper, which was there before fairway", async () => {
    expect(await exchange(lab)).toEqual(aided);
  });

  it("is as without the helper when that is taken away", async () => {
    await assignments.iptables.remove(lab);
    await sleep(rulesRead);
    expect(await exchange(lab)).toEqual(unaided);
  });

  it("works with the helper when that comes later, assigned by nftables", async () => {
    await assignments.nftables.add(lab);
    await sleep(rulesRead);
    expect(await exchange(lab)).toEqual(aided);
    await assignments.nftables.remove(lab);
  });
});
