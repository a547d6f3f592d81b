// Packages of Debian 12 and its backports, and of 13's backports, from the mirror that this system uses, whatever suites it takes from
// there: apt with a configuration, lists and a cache of its own. Nothing of the system's apt is changed.

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasApt } from "./checks.mjs";
import { ask, Failure, run } from "./run.mjs";

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** Where this system's apt finds an archive. @param {string} archive @throws {Failure} nowhere */
function mirrorOf(archive) {
  const listed = ask(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]) ?? "";
  const found = listed.split("\n").find((uri) => uri.endsWith(`/${archive}/`));
  if (found !== undefined) return found;
  throw new Failure(`apt has no source for Debian's archive "${archive}"`, {
    remedy: "run it on Debian, after apt-get update",
  });
}

/** @param {string} archive @param {string} suites */
const stanza = (archive, suites) =>
  `Types: deb\nURIs: ${mirrorOf(archive)}\nSuites: ${suites}\nComponents: main\nSigned-By: ${keyring}\n`;

/**
 * @typedef {object} Debian
 * @property {(name: string) => string[]} versions those of a package that can be had, newest first
 * @property {(name: string, version: string, field: string) => string | undefined} field of a package's description
 * @property {(name: string, version: string, directory: string, progress: (line: string) => void) => Promise<unknown>} download
 */

/**
 * Reads Debian's lists.
 * @param {string} directory where lists and configuration are kept
 * @param {(line: string) => void} progress
 * @returns {Promise<Debian>}
 * @throws {Failure} without apt, Debian's keys or a mirror
 */
export async function openDebian(directory, progress) {
  if (!hasApt()) throw new Failure("there is no apt-get", { remedy: "run it on Debian or Ubuntu" });
  if (!existsSync(keyring)) {
    throw new Failure(`${keyring} is missing`, { remedy: "install debian-archive-keyring" });
  }
  for (const name of ["lists/partial", "cache/archives/partial", "sources"]) {
    mkdirSync(join(directory, name), { recursive: true });
  }
  const sources = [
    stanza("debian", "bookworm bookworm-backports trixie-backports"),
    stanza("debian-security", "bookworm-security"),
  ];
  writeFileSync(join(directory, "sources", "debian.sources"), sources.join("\n"));
  const options = {
    "Dir::State::Lists": join(directory, "lists"),
    "Dir::Cache": join(directory, "cache"),
    "Dir::Etc::SourceList": "/dev/null",
    "Dir::Etc::SourceParts": join(directory, "sources"),
    // Where these files lie, apt's own user may not look.
    "APT::Sandbox::User": "root",
    "Acquire::Retries": "3",
  };
  const own = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  await run(["apt-get", ...own, "update", "--error-on=any"], { onLine: progress });
  return {
    versions: (name) =>
      (ask(["apt-cache", ...own, "madison", name]) ?? "")
        .split("\n")
        .map((line) => line.split("|")[1]?.trim() ?? "")
        .filter((version) => version !== ""),
    field: (name, version, field) =>
      ask(["apt-cache", ...own, "show", `${name}=${version}`])
        ?.split("\n")
        .find((line) => line.startsWith(`${field}: `))
        ?.slice(field.length + 2),
    download: (name, version, to, onLine) =>
      run(["apt-get", ...own, "download", `${name}=${version}`], { cwd: to, onLine }),
  };
}
