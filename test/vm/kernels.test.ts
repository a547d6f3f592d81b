// fairway on Debian's kernels, one machine each: the programs on crafted packets, then an engine with containers and
// uplinks of many kinds. What was found is kept for `node scripts/kernel-table.mjs`.

import { existsSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { root } from "../lab/lib/paths.js";
import { failures, type InsideTest, only, patience, runInside } from "./lib/inside.js";
import { findKernel, type Kernel, seriesToTest } from "./lib/kernel.js";
import { Vm } from "./lib/vm.js";

const minutes = (count: number) => count * 60_000 * patience;

/** cost.test.ts compares with figures of another kernel's verifier. */
const programTests = [
  ...[
    "adoption",
    "bridge",
    "connections",
    "conntrack-sync",
    "counting",
    "explains",
    "filtered",
    "learned-only",
    "learning",
  ],
  ...["live", "masquerade", "pairs", "parent-filter", "parents", "parents-live", "parents-routed"],
  ...["policy", "port-traffic", "published-port", "reasons", "rewrite", "slow-path", "stale", "sweep", "xdp"],
];

/**
 * Kernels whose conntrack functions don't fit each other (src/datapath/programs.ts): connections are only learned there. What begins with one
 * that the programs have made can't be shown of them.
 */
const learnOnly: readonly string[] = ["7"];
const programTestsThere = [
  "bridge",
  "learned-only",
  "learning",
  "parents-live",
  "parents-routed",
  "policy",
  "xdp",
];

/** With an engine and containers, the quick ones first. Each is a run and a result of its own: all together take half an hour and more. */
const containerTests = [
  ...["guest/datapath", "guest/vlans", "guest/parents-routed", "guest/ipvlan"],
  ...["lab/macvlan", "lab/macvlan-modes", "guest/as-docker"],
];

/** The tests of before, those that were run again as they are now; of a file that was run whole no others. */
function updated(before: readonly InsideTest[], now: readonly InsideTest[]): InsideTest[] {
  const name = ({ file, titles }: InsideTest) => JSON.stringify(only ? [file, ...titles] : file);
  const again = new Set(now.map(name));
  return [...before.filter((test) => !again.has(name(test))), ...now];
}

/** Writes a kernel's report; what was not run now stays as the same kernel's last report has it. */
async function keep(report: Kernel & { found: Record<string, readonly InsideTest[]> }): Promise<void> {
  const directory = join(root, "build", "test-reports");
  const path = join(directory, `kernel-${report.series}.json`);
  const last = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined;
  const found = last?.version === report.version ? last.found : {};
  for (const [suite, tests] of Object.entries(report.found)) {
    found[suite] = updated(found[suite] ?? [], tests);
  }
  await mkdir(directory, { recursive: true });
  await writeFile(path, JSON.stringify({ ...report, found }));
}

describe.each(seriesToTest())("kernel %s", (series) => {
  const found: Record<string, readonly InsideTest[]> = {};
  const onlyLearns = learnOnly.includes(series);
  const programs = onlyLearns ? programTestsThere : programTests;
  let kernel: Kernel;
  let vm: Vm;
  beforeAll(async () => {
    kernel = findKernel(series);
    vm = await Vm.boot(kernel);
  });
  afterEach(() => keep({ ...kernel, found }));
  afterAll(() => vm?.dispose());

  it("boots", () => {
    expect(vm.release).toBe(kernel.release);
  });

  it(
    "its verifier takes the programs, and they do with packets what they should",
    async () => {
      // As `fairway run` does before it loads them.
      await vm.run(["modprobe", "--all", "nf_conntrack", "nf_nat"]);
      const files = programs.map((name) => `bpf/${name}.test`);
      found.programs = await runInside(vm, "bpf", {
        files,
        namespaced: true,
        timeout: minutes(30),
      });
      expect(failures(found.programs)).toEqual([]);
      if (!only) expect(new Set(found.programs.map(({ file }) => file))).toEqual(new Set(programs));
    },
    minutes(31),
  );

  it.each(containerTests)(
    "an engine's containers are reached, and reach the outside, on the fast path: %s",
    async (name) => {
      const options = { files: [`${name}.test`], timeout: minutes(30), maySkip: onlyLearns };
      const tests = await runInside(vm, "guest", options);
      found.lab = [...(found.lab ?? []), ...tests];
      expect(failures(tests)).toEqual([]);
      if (!onlyLearns) expect(tests.filter(({ skipped }) => skipped)).toEqual([]);
      if (!only) expect(tests.length).toBeGreaterThan(1);
    },
    minutes(31),
  );
});
