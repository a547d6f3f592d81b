// Builds the addon with AddressSanitizer and UndefinedBehaviorSanitizer and runs the native tests with it.
//
//   node scripts/asan.mjs [vitest's arguments]
//
// Each test file ends with a leak check in its own process (test/unit/native/support.ts). Fails when a test fails, when a sanitizer reports an error, and when memory leaks that our code allocated (Node and
// V8 leave much behind when a process ends; that is not our concern).

import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { buildDir, root } from "./lib/paths.mjs";
import { ask, Failure, runVisible } from "./lib/run.mjs";
import { elapsed, isMain, main, step } from "./lib/step.mjs";
import { buildNative } from "./native.mjs";

const reports = join(buildDir, "asan", "reports");

/**
 * The sanitizer's library, to be loaded before everything else because node itself is not built with it.
 * @returns {string}
 */
function library() {
  const path = ask([process.env.CXX ?? "c++", "-print-file-name=libasan.so"]);
  if (!path?.includes("/")) {
    throw new Failure("the compiler has no libasan.so", { remedy: "run `npm run setup -- --test`" });
  }
  return path;
}

/** What the sanitizers are told: reports into files, one for each process; go on after leaks, stop at errors. */
function environment() {
  const log = `log_path=${join(reports, "report")}`;
  return {
    LD_PRELOAD: library(),
    ASAN_OPTIONS: `${log}:detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:exitcode=99`,
    LSAN_OPTIONS: "exitcode=0:report_objects=0",
    UBSAN_OPTIONS: `${log}:print_stacktrace=1`,
  };
}

/** A frame of the addon: by its file, or by the source that it was compiled from. */
const ours = new RegExp(`fairway_native\\.node|${root}/native/|/node-addon-api/`);

/** Frames between an allocation and who asked for it: the sanitizer's own, and Node-API's. */
const between = /libsanitizer|libasan| in (napi_|v8impl::|node::)/;

/**
 * Did our code allocate it? Node and V8 allocate for themselves while we call them: that has their frames on top.
 * @param {string} leak
 */
function isOurs(leak) {
  const frames = leak.split("\n").filter((line) => /^\s+#\d+ /.test(line));
  const first = frames.find((frame) => !between.test(frame));
  return first !== undefined && ours.test(first);
}

/**
 * The parts of a report that concern us: any error, and leaks of what our code allocated.
 * @param {string} text
 * @returns {string[]}
 */
export function findings(text) {
  return text
    .split(/\n(?==+\d+==|Direct leak|Indirect leak|[^\n]*runtime error:)/)
    .filter((part) => {
      if (/^(Direct|Indirect) leak/.test(part)) return isOurs(part);
      return /ERROR: AddressSanitizer|runtime error:/.test(part);
    })
    .map((part) => part.trim());
}

/** Reads what the sanitizers wrote. @returns {string[]} */
function allFindings() {
  return readdirSync(reports).flatMap((name) => findings(readFileSync(join(reports, name), "utf8")));
}

/**
 * Runs the native tests against the sanitized addon.
 * @param {string[]} args for vitest
 * @returns {Promise<boolean>} nothing was found
 */
export async function runSanitized(args) {
  let addon = "";
  await step({
    name: "native addon with sanitizers",
    work: async (onLine) => {
      addon = await buildNative({ asan: true, onLine });
    },
  });
  rmSync(reports, { recursive: true, force: true });
  mkdirSync(reports, { recursive: true });
  // Names of files narrow the run down; without any it is all of the native tests.
  const files = args.some((argument) => !argument.startsWith("-")) ? [] : ["test/unit/native"];
  const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
  const tests = [process.execPath, vitest, "run", "--project", "unit", ...files, ...args];
  const env = { ...environment(), FAIRWAY_NATIVE: addon };
  const status = await runVisible(tests, { env });
  const found = allFindings();
  for (const text of found) process.stderr.write(`${text}\n\n`);
  const verdict =
    found.length === 0 ? "the sanitizers found nothing" : `the sanitizers found ${found.length}`;
  process.stderr.write(`${verdict} (${elapsed()})\n`);
  return status === 0 && found.length === 0;
}

if (isMain(import.meta.url)) {
  await main(async () => {
    if (!(await runSanitized(process.argv.slice(2)))) process.exitCode = 1;
  });
}
