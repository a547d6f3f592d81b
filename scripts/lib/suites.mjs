// The test suites: how each is run, and what its report says.

import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { filesUnder } from "./current.mjs";
import { buildDir, root } from "./paths.mjs";
import { runVisible } from "./run.mjs";

/**
 * @typedef {object} Outcome
 * @property {string} suite
 * @property {number} passed
 * @property {number} failed
 * @property {string[]} problems why it counts as failed besides failed tests: nothing ran, something was skipped
 */

/** Suites in the order in which they run; `npm test` runs those with `always`. */
export const suites = [
  { name: "unit", always: true },
  { name: "asan", always: true },
  { name: "bpf", always: true },
  { name: "lab", always: true },
  { name: "fuzz", always: true },
  { name: "vm", always: false },
];

/** Suites that make devices, and so run in a network namespace of their own. */
const namespaced = new Set(["bpf"]);

const vitest = [process.execPath, join(root, "node_modules", "vitest", "vitest.mjs"), "run"];

/** @param {string} suite */
const reportPath = (suite) => join(buildDir, "test-reports", `${suite}.json`);

/**
 * A name filters files when one of the suite's has it in its path, and else tests by their title.
 * @param {string} suite
 * @param {string[]} names
 */
function filters(suite, names) {
  const files = filesUnder([join(root, "test", suite)], (path) => path.endsWith(".test.ts"));
  const isFile = (/** @type {string} */ name) => files.some((path) => path.slice(root.length).includes(name));
  const titles = names.filter((name) => !isFile(name));
  return [...names.filter(isFile), ...(titles.length > 0 ? ["--testNamePattern", titles.join(" ")] : [])];
}

/**
 * Runs a suite of vitest's and reads its report.
 * @param {string} suite
 * @param {string[]} names filters
 * @returns {Promise<Outcome>}
 */
export async function runSuite(suite, names) {
  const report = reportPath(suite);
  mkdirSync(dirname(report), { recursive: true });
  rmSync(report, { force: true });
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const status =
    suite === "asan"
      ? await runVisible([process.execPath, join(root, "scripts", "asan.mjs"), ...reporters, ...names])
      : await runVisible([
          ...(namespaced.has(suite) ? ["unshare", "--net"] : []),
          ...vitest,
          "--project",
          suite,
          ...reporters,
          ...filters(suite, names),
        ]);
  return outcome(suite, report, status, names.length > 0);
}

/**
 * @param {string} suite
 * @param {string} report vitest's JSON report
 * @param {number} status exit status
 * @param {boolean} filtered then what the filter leaves out counts as skipped, rightly
 * @returns {Outcome}
 */
export function outcome(suite, report, status, filtered) {
  if (!existsSync(report))
    return { suite, passed: 0, failed: 1, problems: [`no report (exit status ${status})`] };
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(
    readFileSync(report, "utf8"),
  );
  /** @type {string[]} */
  const problems = [];
  // A file that fails outside its tests (an import, a hook) has failed without a failed test.
  const broken = testResults.filter(
    (/** @type {{ status: string, assertionResults: { status: string }[] }} */ file) =>
      file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
  ).length;
  if (broken > 0) problems.push(`${broken} file${broken > 1 ? "s" : ""} failed as a whole`);
  const skipped = numPendingTests + numTodoTests;
  if (skipped > 0 && !filtered) problems.push(`${skipped} skipped`);
  if (numPassedTests + numFailedTests === 0) problems.push("no test ran");
  if (status !== 0 && numFailedTests === 0 && problems.length === 0) problems.push(`exit status ${status}`);
  return { suite, passed: numPassedTests, failed: numFailedTests + (problems.length > 0 ? 1 : 0), problems };
}
