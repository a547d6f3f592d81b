// Finding a Go that can build a current engine, and getting one where the distribution's is too old.
//
// Debian 12 has Go 1.19. A Go toolchain is a Go module as well, golang.org/toolchain, whose versions are named after
// Go's and the platform (go.dev/doc/toolchain): any Go can download it by the module proxy. Go 1.21 and newer do that
// by themselves when a module asks for a newer one.

import { chmodSync, existsSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cacheDir } from "./paths.mjs";
import { ask, atLeast, Failure, run, versionIn, which } from "./run.mjs";
import { go as pinned } from "./versions.mjs";

/** The toolchain that we fetched, or would. */
const fetchedDir = join(cacheDir, `go-${pinned.version}`);

/**
 * A Go of any age; undefined when there is none.
 * @returns {string | undefined}
 */
export function findGo() {
  return findCurrentGo() ?? which("go") ?? ["/usr/lib/go/bin/go"].find((path) => existsSync(path));
}

/**
 * A Go new enough to fetch what else a module asks for; undefined when there is none.
 * @returns {string | undefined}
 */
export function findCurrentGo() {
  const candidates = [which("go"), "/usr/local/go/bin/go", join(fetchedDir, "bin", "go")];
  return candidates.find(
    (path) => path && existsSync(path) && atLeast(versionIn(ask([path, "version"])), pinned.least),
  );
}

/**
 * As findCurrentGo, but missing is an error.
 * @throws {Failure}
 */
export function requireGo() {
  const found = findCurrentGo();
  if (found) return found;
  throw new Failure(`no Go of version ${pinned.least.join(".")} or newer`, {
    remedy: "run `npm run setup -- --test`",
  });
}

/** What Node calls the machine, as Go calls it. */
const architectures = { x64: "amd64", arm64: "arm64" };

/**
 * Brings a current toolchain into the cache by means of an older Go.
 * @param {(line: string) => void} progress
 */
export async function fetchGo(progress) {
  const old = findGo();
  if (!old) throw new Failure("no Go at all to fetch a newer one with", { remedy: "install golang-go" });
  const architecture = architectures[/** @type {keyof typeof architectures} */ (process.arch)];
  if (!architecture) throw new Failure(`no Go toolchain for ${process.arch}`);
  const module = `golang.org/toolchain@v0.0.1-go${pinned.version}.linux-${architecture}`;
  const modules = `${fetchedDir}.modules`;
  rmSync(modules, { recursive: true, force: true });
  const env = { GOMODCACHE: modules, GOFLAGS: "-modcacherw", GO111MODULE: "on", GOTOOLCHAIN: "local" };
  const json = await run([old, "mod", "download", "-json", module], { cwd: "/", env, onLine: progress });
  /** @type {{ Dir: string }} */
  const { Dir } = JSON.parse(json.slice(json.indexOf("{"), json.lastIndexOf("}") + 1));
  // A module's files are not executable.
  for (const path of executables(Dir)) chmodSync(path, 0o755);
  rmSync(fetchedDir, { recursive: true, force: true });
  renameSync(Dir, fetchedDir);
  rmSync(modules, { recursive: true, force: true });
}

/** @param {string} directory of a toolchain */
function executables(directory) {
  const tools = join(directory, "pkg", "tool");
  const files = (/** @type {string} */ path) => readdirSync(path).map((name) => join(path, name));
  return [...files(join(directory, "bin")), ...files(tools).flatMap(files)];
}
