// Writes docs/kernels.md: what works on which kernel, from what the last runs of test/vm have found, and of bpf and lab on this machine.
// Never edited by hand.
//
//   npm run test:vm && npm run test:bpf && npm run test:lab && node scripts/kernel-table.mjs

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { release as kernelRelease } from "node:os";
import { basename, join } from "node:path";
import { buildDir, root } from "./lib/paths.mjs";
import { Failure } from "./lib/run.mjs";
import { isMain, main } from "./lib/step.mjs";
import { kernelSeries } from "./lib/versions.mjs";

/**
 * @typedef {object} Test as test/vm/lib/inside.ts has it
 * @property {string} file
 * @property {string[]} titles
 * @property {boolean} passed
 * @property {true} [skipped] what this kernel can't do
 */

/**
 * @typedef {object} Report
 * @property {string} release
 * @property {string} [version] its package's; undefined: this machine's kernel
 * @property {{ programs?: Test[], lab?: Test[] }} found
 */

/** @param {string} series @returns {Report | undefined} undefined: it has not been tested here */
function report(series) {
  const path = join(buildDir, "test-reports", `kernel-${series}.json`);
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined;
}

/** The last runs in machines. @returns {Report[]} */
function reportsOfBooted() {
  const reports = kernelSeries.map(report).filter((one) => one !== undefined);
  if (reports.length > 0) return reports;
  throw new Failure("no kernel has been tested here", { remedy: "run `npm run test:vm`, then this again" });
}

/**
 * The same of this machine's kernel, by the last runs of the suites bpf and lab here.
 * @param {Report[]} others only what one of them has is a row
 * @returns {Report[]} none where there was no such run
 */
function reportOfThis(others) {
  const programs = ranHere("bpf");
  if (programs.length === 0) return [];
  const files = new Set(others.flatMap(({ found }) => (found.programs ?? []).map(({ file }) => file)));
  const titles = new Set(others.flatMap(({ found }) => (found.lab ?? []).map(title)));
  return [
    {
      release: kernelRelease(),
      found: {
        programs: programs.filter(({ file }) => files.has(file)),
        lab: ranHere("lab").filter((test) => titles.has(title(test))),
      },
    },
  ];
}

/** A suite's last run on this machine, in the words of test/vm/lib/inside.ts. @param {string} suite @returns {Test[]} */
function ranHere(suite) {
  const path = join(buildDir, "test-reports", `${suite}.json`);
  if (!existsSync(path)) return [];
  const { testResults } = JSON.parse(readFileSync(path, "utf8"));
  return testResults.flatMap(
    (
      /** @type {{ name: string, assertionResults: { ancestorTitles: string[], title: string, status: string }[] }} */ one,
    ) =>
      one.assertionResults
        .filter(({ status }) => status === "passed" || status === "failed")
        .map((test) => ({
          file: basename(one.name, ".test.ts"),
          titles: [...test.ancestorTitles, test.title],
          passed: test.status === "passed",
        })),
  );
}

/** "6.12". @param {Report} report */
const numberOf = ({ release, version }) => /^\d+\.\d+/.exec(version ?? release)?.[0] ?? release;

/** In the order of their numbers. @param {Report} a @param {Report} b */
function byNumber(a, b) {
  const [[major = 0, minor = 0] = [], [otherMajor = 0, otherMinor = 0] = []] = [a, b].map((one) =>
    numberOf(one).split(".").map(Number),
  );
  return major - otherMajor || minor - otherMinor;
}

/**
 * A row: what is tested, and by kernel how many of its tests passed.
 * @param {string} name
 * @param {Report[]} reports
 * @param {(report: Report) => Test[]} select
 */
function row(name, reports, select) {
  const cells = reports.map((one) => {
    const all = select(one);
    const tests = all.filter(({ skipped }) => !skipped);
    const passed = tests.filter((test) => test.passed).length;
    if (tests.length === 0) return all.length > 0 ? "can't be" : "not tested";
    return passed === tests.length ? "yes" : `**no** (${passed} of ${tests.length})`;
  });
  return `| ${[name, ...cells].join(" | ")} |`;
}

/** The distinct names in the order in which they come. @param {Report[]} reports @param {(report: Report) => string[]} names */
const distinct = (reports, names) => [...new Set(reports.flatMap(names))];

/** @param {Test} test */
const title = ({ titles }) => titles.join(": ");

/** The document. @param {Report[]} reports */
export function kernelTable(reports) {
  const head = (/** @type {string} */ what) => [
    `| ${[what, ...reports.map((one) => `Linux ${numberOf(one)}`)].join(" | ")} |`,
    `|---${"|---".repeat(reports.length)}|`,
  ];
  const lab = (/** @type {Report} */ one) => one.found.lab ?? [];
  const programs = (/** @type {Report} */ one) => one.found.programs ?? [];
  return [
    "# Kernels",
    "",
    "<!-- Written by scripts/kernel-table.mjs from the runs of `npm run test:vm`: change those, not this. -->",
    "",
    "fairway wants Linux 6.1 or newer. `npm run test:vm` boots Debian's kernels under QEMU, without KVM, with the files of the host,",
    "and runs the tests there. What the last runs showed, with Debian's engine (20.10), and a current one (29) where it is about ipvlan",
    "and macvlan:",
    "",
    ...reports.map((one) => {
      const from =
        one.version === undefined
          ? "a development machine's own, without a VM and without modules: what it lacks is not tested"
          : `Debian's package of version ${one.version}`;
      return `- ${numberOf(one)}: \`${one.release}\`, ${from}`;
    }),
    "",
    ...head("with an engine and containers"),
    ...distinct(reports, (one) => lab(one).map(title)).map((name) =>
      row(name, reports, (one) => lab(one).filter((test) => title(test) === name)),
    ),
    "",
    "“Published port and masquerade” and each kind of uplink count only when more than 95 % of the packets took the fast path.",
    "",
    ...head("the programs, on crafted packets"),
    ...distinct(reports, (one) => programs(one).map(({ file }) => file)).map((file) => {
      const count = Math.max(
        ...reports.map((one) => programs(one).filter((test) => test.file === file).length),
      );
      return row(`${file} (${count} ${count === 1 ? "test" : "tests"})`, reports, (one) =>
        programs(one).filter((test) => test.file === file),
      );
    }),
    "",
    "Programs are attached by TCX from Linux 6.6 on, by clsact before. Where a kernel's conntrack functions don't fit each other (Debian's 7.3)",
    "connections are only learned: what has to be made by the programs can't be there, and what begins with that is not tested.",
    "",
  ].join("\n");
}

if (isMain(import.meta.url)) {
  await main(() => {
    const path = join(root, "docs", "kernels.md");
    const booted = reportsOfBooted();
    writeFileSync(path, kernelTable([...booted, ...reportOfThis(booted)].sort(byNumber)));
    console.log(path);
  });
}
