// Finding a cargo that is new enough. Debian 12's own is too old for bpf-linker; its cargo-web is not.

import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { ask, atLeast, Failure, versionIn, which } from "./run.mjs";

/**
 * A cargo of at least this version, with what its environment needs; undefined when there is none.
 * @param {number[]} least
 * @returns {{ cargo: string, env: Record<string, string> } | undefined}
 */
export function findCargo(least) {
  const candidates = [
    process.env.CARGO,
    which("cargo"),
    join(homedir(), ".cargo/bin/cargo"),
    "/usr/bin/cargo",
  ];
  for (const cargo of candidates) {
    if (!cargo || !atLeast(versionIn(ask([cargo, "--version"])), least)) continue;
    // Its own rustc stands beside it; another one first in PATH would be of another version.
    return { cargo, env: { PATH: `${dirname(cargo)}:${process.env.PATH}` } };
  }
  return undefined;
}

/**
 * As findCargo, but missing is an error.
 * @param {number[]} least
 * @throws {Failure}
 */
export function requireCargo(least) {
  const found = findCargo(least);
  if (found) return found;
  throw new Failure(`no cargo of version ${least.join(".")} or newer`, {
    remedy: "run `npm run setup`, or install Rust with rustup",
  });
}
