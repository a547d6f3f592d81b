// Where everything lives. Caches are outside the work tree, so that a fresh clone finds what an earlier one built.

import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's top directory. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

/** Build products in the tree, ignored by git. */
export const buildDir = join(root, "build");

/** Tools and libraries that take long to build: bpf-linker, libbpf, the current engine. */
export const cacheDir =
  process.env.FAIRWAY_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "fairway");

/** The object that the loader opens: every program and map, with BTF. */
export const bpfObject = join(buildDir, "fairway.bpf.o");

/** The compiled addon, where cmake-js puts it. */
export const addon = join(buildDir, "Release", "fairway_native.node");
