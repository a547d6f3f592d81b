// The npm packages: are those of package-lock.json in node_modules?

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./paths.mjs";

/** @typedef {{ packages: Record<string, { version?: string, optional?: boolean }> }} Lock */

/** @param {string} path @returns {Lock} */
const readLock = (path) => JSON.parse(readFileSync(path, "utf8"));

/** True when every package is installed in the version that the lock file says; optional ones may be of other platforms. */
export function npmPackagesCurrent() {
  const installedLock = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(installedLock)) return false;
  const installed = readLock(installedLock).packages;
  return Object.entries(readLock(join(root, "package-lock.json")).packages).every(
    ([path, { version, optional }]) =>
      path === "" || (optional && !(path in installed)) || installed[path]?.version === version,
  );
}
