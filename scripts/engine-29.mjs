// Builds a current engine (dockerd, docker-proxy) and the runc it wants from Go modules, once per version, into the cache.
// Debian's own is 20.10; the lab runs every suite against both.
//
//   node scripts/engine-29.mjs     prints the directory

import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { provideGo } from "./go.mjs";
import { cacheDir } from "./lib/paths.mjs";
import { run } from "./lib/run.mjs";
import { isMain, main, step } from "./lib/step.mjs";

/** The pinned versions: Go package, version, build tags. */
const parts = [
  { package: "github.com/moby/moby/v2/cmd/dockerd", version: "v2.0.0-beta.24" },
  { package: "github.com/moby/moby/v2/cmd/docker-proxy", version: "v2.0.0-beta.24" },
  // Debian's runc is too old for this engine. The tag needs libseccomp's headers.
  { package: "github.com/opencontainers/runc", version: "v1.5.2", tags: "seccomp" },
];

/** Where the engine is, or will be: a directory to put first in PATH. */
export const engine29Dir = join(cacheDir, "engine-29");

const stamp = join(engine29Dir, "versions.json");
const programs = ["dockerd", "docker-proxy", "runc"].map((name) => join(engine29Dir, name));
const wanted = JSON.stringify(parts, undefined, 2);

/** Is the cached engine of the pinned versions? */
export function engine29Current() {
  return (
    existsSync(stamp) && readFileSync(stamp, "utf8") === wanted && programs.every((path) => existsSync(path))
  );
}

/**
 * Builds the engine when the cached one is missing or of other versions.
 * @returns {Promise<string>} the directory with dockerd, docker-proxy and runc
 * @throws {import("./lib/run.mjs").Failure}
 */
export async function buildEngine29() {
  await step({
    name: `engine ${parts[0].version} (dockerd, docker-proxy, runc)`,
    done: engine29Current,
    work: async (progress) => {
      const go = await provideGo();
      // Built beside and moved: a running lab keeps its open programs, an interrupted build leaves nothing half done.
      const building = join(cacheDir, `engine-29.building-${process.pid}`);
      mkdirSync(building, { recursive: true });
      for (const part of parts) {
        const tags = part.tags ? ["-tags", part.tags] : [];
        await run(["nice", go, "install", "-trimpath", ...tags, `${part.package}@${part.version}`], {
          onLine: progress,
          env: { GOBIN: building, GOTOOLCHAIN: "auto", CGO_ENABLED: "1" },
        });
      }
      mkdirSync(engine29Dir, { recursive: true });
      for (const path of programs) renameSync(path.replace(engine29Dir, building), path);
      await run(["rmdir", building]);
      writeFileSync(stamp, wanted);
    },
    remedy:
      "check that Go modules can be downloaded and that libseccomp-dev and a C compiler are installed, then run it again",
  });
  return engine29Dir;
}

if (isMain(import.meta.url)) await main(async () => console.log(await buildEngine29()));
