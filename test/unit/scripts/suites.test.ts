/** What makes a run fail besides failed tests: a suite that ran nothing, or skipped something, is not a success. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { outcome } from "../../../scripts/lib/suites.mjs";

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "fairway-suites-test-"));
});
afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

interface Counts {
  numPassedTests?: number;
  numFailedTests?: number;
  numPendingTests?: number;
  numTodoTests?: number;
  testResults?: { status: string; assertionResults: { status: string }[] }[];
}

/** A report as vitest's JSON reporter writes it. */
function report(counts: Counts): string {
  const path = join(directory, "report.json");
  const none = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0, testResults: [] };
  writeFileSync(path, JSON.stringify({ ...none, ...counts }));
  return path;
}

test("all passed", () => {
  expect(outcome("unit", report({ numPassedTests: 3 }), 0, false)).toEqual({
    suite: "unit",
    passed: 3,
    failed: 0,
    problems: [],
  });
});

test("failed tests count each", () => {
  expect(outcome("unit", report({ numPassedTests: 3, numFailedTests: 2 }), 1, false)).toMatchObject({
    failed: 2,
  });
});

test.each([
  ["nothing ran", {}, 0, "no test ran"],
  ["something was skipped", { numPassedTests: 3, numPendingTests: 1 }, 0, "1 skipped"],
  ["something is only planned", { numPassedTests: 3, numTodoTests: 2 }, 0, "2 skipped"],
  ["it failed after its tests", { numPassedTests: 3 }, 99, "exit status 99"],
  [
    "a file failed before its tests",
    { numPassedTests: 3, testResults: [{ status: "failed", assertionResults: [] }] },
    1,
    "1 file failed as a whole",
  ],
])("%s: one failure more", (_, counts, status, problem) => {
  expect(outcome("unit", report(counts), status, false)).toMatchObject({ failed: 1, problems: [problem] });
});

test("no report at all", () => {
  expect(outcome("lab", join(directory, "none"), 1, false)).toMatchObject({ passed: 0, failed: 1 });
});

test("with a filter the rest is skipped rightly, but something has to run", () => {
  expect(outcome("unit", report({ numPassedTests: 1, numPendingTests: 9 }), 0, true)).toMatchObject({
    failed: 0,
  });
  expect(outcome("unit", report({ numPendingTests: 10 }), 0, true)).toMatchObject({ failed: 1 });
});
