// A suite of vitest's run inside a machine, and what it found.

import { join } from "node:path";
import { root } from "../../lab/lib/paths.js";
import type { Vm } from "./vm.js";

/** One test of a suite inside. */
export interface InsideTest {
  /** Of its file, as "datapath". */
  readonly file: string;
  /** Its titles, from the outermost group's to its own. */
  readonly titles: readonly string[];
  readonly passed: boolean;
  /** It has skipped itself, for what this kernel can't do; not passed where no kernel's test may. */
  readonly skipped?: true;
  /** What failed. */
  readonly why?: string;
}

/** Those that failed with file and titles, and why: readable when it is not empty. */
export const failures = (tests: readonly InsideTest[]): string[] =>
  tests
    .filter(({ passed }) => !passed)
    .map(({ file, titles, why }) => `${file}: ${titles.join(" > ")}: ${why}`);

/** Only tests with this in their titles, inside; all when empty. */
export const only = process.env.FAIRWAY_VM_TESTS ?? "";

/** Everything may take so many times longer: where others use the machine as well. */
export const patience = Number(process.env.FAIRWAY_LAB_PATIENCE ?? 1);

/** How to run a suite. */
export interface SuiteOptions {
  /** Files by a part of their path; all when left out. */
  readonly files?: readonly string[];
  /** Those that make devices of their own run in a network namespace of their own. */
  readonly namespaced?: boolean;
  /** Tests may skip themselves, for what this kernel can't do. */
  readonly maySkip?: boolean;
  /** Milliseconds. */
  readonly timeout: number;
}

/** Of vitest's JSON report, which is jest's. */
interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message?: string;
    readonly assertionResults: readonly {
      readonly ancestorTitles: readonly string[];
      readonly title: string;
      readonly status: string;
      readonly failureMessages?: readonly string[];
    }[];
  }[];
}

let runs = 0;

/**
 * Runs a project's tests in a machine and returns each with its outcome. A file that fails as a whole counts as a failed
 * test without a title; skipped tests count as failed unless told.
 * @throws Error when there is no report
 */
export async function runInside(vm: Vm, project: string, options: SuiteOptions): Promise<InsideTest[]> {
  const report = `${project}-${++runs}.json`;
  const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
  const result = await vm.run(
    [
      ...(options.namespaced ? ["unshare", "--net"] : []),
      // One process for all files: to start one and to read the sources takes it ten seconds.
      ...[process.execPath, vitest, "run", "--project", project, "--no-isolate"],
      ...["--reporter=verbose", "--reporter=json", `--outputFile.json=/run/exchange/${report}`],
      ...(only ? ["--testNamePattern", only] : []),
      ...(options.files ?? []),
    ],
    // Everything takes its time there; what waits for something waits longer.
    { timeout: options.timeout, env: { FAIRWAY_LAB_PATIENCE: String(6 * patience) } },
  );
  let text: string | undefined;
  try {
    text = vm.file(report);
  } catch {
    // None was written.
  }
  const results = text === undefined ? [] : (JSON.parse(text) as Report).testResults;
  // A runner that could not start its workers writes a report too.
  if (results.length === 0)
    throw new Error(`no report of ${project}: ${(result.stderr || result.stdout).slice(-4000)}`);
  // What fails as a whole, in a hook, says so nowhere else.
  const said = result.stderr.trim().split("\n").slice(-40).join("\n");
  return results.flatMap((file) => testsOf(file, said, options.maySkip));
}

function testsOf(
  { name, status, message, assertionResults }: Report["testResults"][number],
  said: string,
  maySkip = false,
): InsideTest[] {
  const file = name.replace(/^.*\//, "").replace(/\.test\.ts$/, "");
  const asked = assertionResults.filter(({ status }) => only === "" || ["passed", "failed"].includes(status));
  const tests = asked.map(({ ancestorTitles, title, status, failureMessages = [] }) => {
    const skipped = status === "skipped";
    const passed = status === "passed" || (skipped && maySkip);
    const why = failureMessages[0]?.split("\n").slice(0, 12).join("\n") ?? status;
    const more = { ...(skipped && { skipped: true as const }), ...(!passed && { why }) };
    return { file, titles: [...ancestorTitles, title], passed, ...more };
  });
  const whole = status === "failed" && tests.every(({ passed }) => passed);
  return whole
    ? [...tests, { file, titles: [], passed: false, why: message || said || "failed as a whole" }]
    : tests;
}
