// Is a result current? Decided by the contents of what it is made from, not by times: a fresh checkout changes every time.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { buildDir, root } from "./paths.mjs";

/**
 * All files under some files and directories, sorted; what is missing is left out.
 * @param {string[]} paths
 * @param {(path: string) => boolean} [wanted]
 * @returns {string[]}
 */
export function filesUnder(paths, wanted = () => true) {
  /** @type {string[]} */
  const found = [];
  for (const path of paths) {
    if (!existsSync(path)) continue;
    if (statSync(path).isDirectory()) {
      found.push(
        ...filesUnder(
          readdirSync(path).map((name) => join(path, name)),
          wanted,
        ),
      );
    } else if (wanted(path)) found.push(path);
  }
  return found.sort();
}

/**
 * A fingerprint of files (names and contents) and of anything else that decides the result.
 * @param {string[]} files
 * @param {unknown} [more] JSON-able: flags, versions
 */
export function fingerprint(files, more) {
  const hash = createHash("sha256").update(JSON.stringify(more ?? null));
  for (const file of files) hash.update(`\0${relative(root, file)}\0`).update(readFileSync(file));
  return hash.digest("hex");
}

/** @param {string} name */
const stampPath = (name) => join(buildDir, ".stamps", name.replaceAll("/", "_"));

/**
 * Was the step's last success made from these inputs, and is everything it made still there?
 * @param {string} name
 * @param {string} print
 * @param {string[]} outputs
 */
export function isCurrent(name, print, outputs) {
  const path = stampPath(name);
  return (
    existsSync(path) && readFileSync(path, "utf8") === print && outputs.every((output) => existsSync(output))
  );
}

/**
 * Records a success.
 * @param {string} name
 * @param {string} print
 */
export function markCurrent(name, print) {
  const path = stampPath(name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, print);
}

/** Forgets a success. @param {string} name */
export function forget(name) {
  rmSync(stampPath(name), { force: true });
}
