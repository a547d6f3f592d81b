// What the programs at parents cost a packet in instructions, on Debian's kernels: instructions/parent.test.ts in a machine of each that
// counts them. What was counted is in build/test-reports/parent-instructions-KERNEL.json.

import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildBaseline } from "../bpf/lib/parent-cost.js";
import { root } from "../lab/lib/paths.js";
import { failures, only, runInside } from "./lib/inside.js";
import { findKernel, seriesToTest } from "./lib/kernel.js";
import { Vm } from "./lib/vm.js";

// They are not built inside, where it would take minutes.
beforeAll(async () => {
  await buildBaseline();
  const source = join(import.meta.dirname, "instructions", "path-cost.c");
  execFileSync("cc", ["-O2", "-Wall", "-Wextra", "-o", join(root, "build", "path-cost"), source]);
});

describe.each(seriesToTest())("kernel %s", (series) => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await Vm.boot(findKernel(series), { instructions: true });
  });
  afterAll(() => vm?.dispose());

  it("a packet at a parent costs no more instructions than a lookup and a tenth", async () => {
    await vm.run(["modprobe", "--all", "nf_conntrack", "nf_nat", "ipvlan", "dummy", "tun"]);
    const tests = await runInside(vm, "instructions", { namespaced: true, timeout: 1_200_000 });
    const reports = join(root, "build", "test-reports");
    mkdirSync(reports, { recursive: true });
    writeFileSync(
      join(reports, `parent-instructions-${series}.json`),
      `${JSON.stringify(JSON.parse(vm.file("parent-instructions.json")), null, 2)}\n`,
    );
    writeFileSync(
      join(reports, `path-instructions-${series}.json`),
      `${JSON.stringify(JSON.parse(vm.file("path-instructions.json")), null, 2)}\n`,
    );
    expect(failures(tests)).toEqual([]);
    if (!only) expect(tests.length).toBeGreaterThan(16);
  }, 1_260_000);
});
