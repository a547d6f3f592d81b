#!/usr/bin/env node
/**
 * Builds the native addon with cmake-js: build/Release/fairway_native.node. Runs alone as well:
 *   node scripts/native.mjs [--asan]      (LIBBPF_ROOT or FAIRWAY_LIBBPF: another libbpf than the cached one)
 * Quiet unless it fails; then the compiler's last lines are in the error.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Where scripts/libbpf.mjs puts libbpf: lib/libbpf.a and include/{bpf,linux}/*.h. */
export function libbpfRoot(env = process.env) {
  const given = env.LIBBPF_ROOT ?? env.FAIRWAY_LIBBPF;
  if (given) return given;
  const cache = env.FAIRWAY_CACHE ?? join(env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "fairway");
  return join(cache, "libbpf-1.7.0");
}

/** The addon's file, of the plain or of the sanitized build. */
export function addonPath({ asan = false } = {}) {
  return join(root, "build", asan ? "asan" : "Release", "fairway_native.node");
}

/**
 * Builds the addon; what is up to date is left as it is. Returns the addon's path, throws an Error whose message ends
 * with the build's last lines.
 */
export async function buildNative({ libbpf = libbpfRoot(), asan = false } = {}) {
  const output = join(root, "build", asan ? "asan" : "Release");
  const work = join(root, "build", asan ? "cmake-asan" : "cmake");
  if (!existsSync(join(libbpf, "lib/libbpf.a"))) {
    throw new Error(`no libbpf in ${libbpf}: run node scripts/libbpf.mjs, or set FAIRWAY_LIBBPF`);
  }
  await mkdir(output, { recursive: true });
  const cmakeJs = createRequire(import.meta.url).resolve("cmake-js/bin/cmake-js");
  // "configure", not "build" alone: that keeps an old configuration even when the options differ.
  const options = [
    ...["--directory", root, "--out", work, "--config", asan ? "RelWithDebInfo" : "Release"],
    `--CDLIBBPF_ROOT=${libbpf}`,
    `--CDCMAKE_LIBRARY_OUTPUT_DIRECTORY=${output}`,
    `--CDSANITIZE=${asan ? "ON" : "OFF"}`,
  ];
  try {
    await run(process.execPath, [cmakeJs, "configure", ...options]);
  } catch {
    // A configuration of another tree, generator or compiler: begin anew.
    await rm(work, { recursive: true, force: true });
    await run(process.execPath, [cmakeJs, "configure", ...options]);
  }
  await run(process.execPath, [cmakeJs, "build", "--parallel", "2", ...options]);
  return addonPath({ asan });
}

/**
 * Runs a command; when it fails, throws with its last lines.
 * @param {string} command
 * @param {string[]} args
 * @returns {Promise<void>}
 */
function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    const keep = (/** @type {Buffer} */ chunk) => {
      text = (text + chunk).slice(-64 * 1024);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.on("error", reject);
    child.on("close", (status) => {
      if (status === 0) return resolve();
      const last = text.trimEnd().split("\n").slice(-40).join("\n");
      reject(new Error(`building the native addon failed (${[command, ...args].join(" ")}):\n${last}`));
    });
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    console.log(await buildNative({ asan: process.argv.includes("--asan") }));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  }
}
