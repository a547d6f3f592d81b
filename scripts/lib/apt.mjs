// Installing packages with apt.

import { existsSync, rmSync, writeFileSync } from "node:fs";
import { distribution, hasApt } from "./checks.mjs";
import { ask, Failure, run } from "./run.mjs";

/** @typedef {import("./packages.mjs").Package} Package */

const environment = { DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" };

/** Can apt install a package of that name now? @param {string} name */
const available = (name) => /^ {2}Candidate: (?!\(none\))/m.test(ask(["apt-cache", "policy", name]) ?? "");

/**
 * Debian's names of packages, the first that the distribution has of each.
 * @param {Package[]} missing
 * @throws {Failure} when it has none
 */
function names(missing) {
  return missing.map(({ name }) => {
    const candidates = Array.isArray(name) ? name : [name];
    const found = candidates.find(available);
    if (found) return found;
    throw new Failure(`${distribution()} has no package ${candidates.join(" or ")}`, {
      remedy: "install it from another source, then run this again",
    });
  });
}

/**
 * Installs packages.
 * @param {Package[]} missing
 * @param {{ progress: (line: string) => void, quietServices: boolean }} options quietServices: nginx and the like are
 *   wanted as programs, not as services of this host
 */
export async function installPackages(missing, { progress, quietServices }) {
  if (!hasApt()) {
    const list = missing.map(({ name }) => (Array.isArray(name) ? name[0] : name)).join(" ");
    throw new Failure(`${distribution()} has no apt-get, and these are missing: ${list}`, {
      remedy: "install what your distribution calls them, then run this again",
    });
  }
  const retry = ["-o", "Acquire::Retries=3"];
  await run(["apt-get", "update", ...retry], { onLine: progress, env: environment });
  const install = ["apt-get", "install", "-y", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0", ...retry];
  // A CI machine that loses power is made anew, not repaired: no need to wait for the disk after each file.
  if (process.env.CI) install.push("-o", "Dpkg::Options::=--force-unsafe-io");
  const go = () => run([...install, ...names(missing)], { onLine: progress, env: environment });
  await (quietServices ? withoutServices(go) : go());
}

/**
 * While this runs, installing a package does not start its service (invoke-rc.d(8), policy-rc.d); and it is not
 * started at the next boot either.
 * @param {() => Promise<unknown>} install
 */
async function withoutServices(install) {
  const policy = "/usr/sbin/policy-rc.d";
  const ours = !existsSync(policy);
  const services = ["nginx", "redis-server", "vsftpd", "firewalld", "prometheus"];
  const before = services.filter((name) => existsSync(`/lib/systemd/system/${name}.service`));
  if (ours) writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    await install();
  } finally {
    if (ours) rmSync(policy, { force: true });
  }
  if (!existsSync("/run/systemd/system")) return;
  for (const name of services) if (!before.includes(name)) ask(["systemctl", "disable", name]);
}
