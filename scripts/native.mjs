// Builds the native addon with cmake-js: build/Release/fairway_native.node. Quiet unless it fails.
//
//   node scripts/native.mjs            prints where it is
//   node scripts/native.mjs --asan     with AddressSanitizer and UndefinedBehaviorSanitizer, into build/asan
//
// LIBBPF_ROOT or FAIRWAY_LIBBPF: another libbpf than the one that scripts/libbpf.mjs made.

import { existsSync, mkdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { addon, buildDir, root } from "./lib/paths.mjs";
import { Failure, run } from "./lib/run.mjs";
import { isMain, main } from "./lib/step.mjs";
import { libbpfDir } from "./libbpf.mjs";

/** Where libbpf lies: lib/libbpf.a and include/{bpf,linux}/*.h. */
const libbpfRoot = process.env.LIBBPF_ROOT ?? process.env.FAIRWAY_LIBBPF ?? libbpfDir;

/** The addon's file, of the plain or of the sanitized build. */
export function addonPath({ asan = false } = {}) {
  return asan ? join(buildDir, "asan", "fairway_native.node") : addon;
}

/**
 * Builds the addon; what is up to date is left as it is.
 * @param {{ asan?: boolean, onLine?: (line: string) => void }} [options]
 * @returns {Promise<string>} the addon's path
 * @throws {Failure} with what the compiler said
 */
export async function buildNative({ asan = false, onLine } = {}) {
  if (!existsSync(join(libbpfRoot, "lib", "libbpf.a"))) {
    throw new Failure(`no libbpf in ${libbpfRoot}`, {
      remedy: "run `node scripts/libbpf.mjs`, or set FAIRWAY_LIBBPF",
    });
  }
  const output = join(buildDir, asan ? "asan" : "Release");
  const work = join(buildDir, asan ? "cmake-asan" : "cmake");
  mkdirSync(output, { recursive: true });
  const options = [
    ...["--directory", root, "--out", work, "--config", asan ? "RelWithDebInfo" : "Release"],
    `--CDLIBBPF_ROOT=${libbpfRoot}`,
    `--CDCMAKE_LIBRARY_OUTPUT_DIRECTORY=${output}`,
    `--CDSANITIZE=${asan ? "ON" : "OFF"}`,
  ];
  const cmakeJs = createRequire(import.meta.url).resolve("cmake-js/bin/cmake-js");
  const configure = [process.execPath, cmakeJs, "configure", ...options];
  // Configured each time: cmake-js's build alone would keep an earlier configuration whatever the options say.
  await run(configure, { onLine }).catch(() => {
    // Of another directory, generator or compiler, which cmake refuses to change: begin anew.
    rmSync(work, { recursive: true, force: true });
    return run(configure, { onLine });
  });
  await run([process.execPath, cmakeJs, "build", "--parallel", "2", ...options], { onLine });
  return addonPath({ asan });
}

if (isMain(import.meta.url)) {
  await main(async () => {
    process.stdout.write(`${await buildNative({ asan: process.argv.includes("--asan") })}\n`);
  });
}
