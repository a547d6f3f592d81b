// Where things are. The library runs both from its source (vitest) and compiled (npm run lab, npm run bench).

import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

function findRoot(): string {
  for (let dir = import.meta.dirname; ; dir = dirname(dir)) {
    if (existsSync(join(dir, "package.json")) && existsSync(join(dir, "test", "lab"))) return dir;
    if (dir === "/") throw new Error("the repository's top directory was not found");
  }
}

/** The repository's top directory. */
export const root = findRoot();

/** Caches outside the tree: images and the current engine. */
export const cacheDir =
  process.env.FAIRWAY_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "fairway");

/** The path of one of the small programs that run inside namespaces. */
export const agent = (name: string): string => join(root, "test", "lab", "agents", name);

/** The built command line; FAIRWAY_LAB_MAIN names another build of it. */
export const fairwayMain = process.env.FAIRWAY_LAB_MAIN ?? join(root, "dist", "program", "main.js");
