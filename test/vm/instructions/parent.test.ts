/**
 * What a packet costs at a parent in instructions, against a lookup of its destination by longest prefix (bench/parent-cost). Run by
 * ../parent-instructions.test.ts in a machine whose clock counts instructions: there a time of BPF_PROG_RUN's is a number of instructions,
 * those of the kernel's functions that a program calls included. What it takes to run a program that does nothing is in neither.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { median } from "simple-statistics";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FAMILIES } from "../../../src/ip.js";
import { useDatapath } from "../../bpf/lib/datapath.js";
import { OnParent } from "../../bpf/lib/parent.js";
import { Baseline, type BaselineProgram, Kinds, most, translated } from "../../bpf/lib/parent-cost.js";

/** What was counted (4.10 of IPv6 on 6.12), and a little: it is more work than a lookup, and the kernel's NAT is spared. See path.test.ts. */
const mostTranslated = 4.6;
/** Of each; an interrupt comes in every ten thousandth or so. */
const runs = 101;

const datapath = useDatapath();
let baseline: Baseline;
const found: Record<string, Record<string, number>> = {};
beforeAll(() => {
  baseline = new Baseline();
});
afterAll(() => {
  baseline?.close();
  writeFileSync("/run/exchange/parent-instructions.json", JSON.stringify(found));
});

/** What nearly all of the runs take. */
function instructions(run: () => number): number {
  const taken = Array.from({ length: runs }, run);
  const usual = median(taken);
  // One more or less: the clock's fractions of a nanosecond.
  const others = taken.filter((count) => Math.abs(count - usual) > 1);
  if (others.length > runs / 10) throw new Error(`${usual} as a rule, but also ${others.join(", ")}`);
  return usual;
}
const ofBaseline = (program: BaselineProgram, frame: Buffer) =>
  instructions(() => baseline.run(program, frame));

it("the clock counts instructions", () => {
  const clock = readFileSync("/sys/devices/system/clocksource/clocksource0/current_clocksource", "utf8");
  expect(clock.trim()).toBe("tsc");
  const frame = Buffer.alloc(64);
  const more = ofBaseline("additions_1100", frame) - ofBaseline("additions_100", frame);
  expect(Math.abs(more - 1000)).toBeLessThanOrEqual(1);
});

describe.each(FAMILIES)("IPv%i", (family) => {
  const kinds = new Kinds(new OnParent(datapath, family));

  it.each(kinds.names)("%s", (name) => {
    const { run, frame } = kinds.prepare(name);
    const nothing = ofBaseline("nothing", frame);
    const program = instructions(() => run().durationNs) - nothing;
    const [byDestination, bySource] = (["by_destination", "by_source"] as const).map(
      (lookup) => ofBaseline(lookup, frame) - nothing,
    ) as [number, number];
    const ratio = program / byDestination;
    found[`IPv${family}, ${name}`] = { nothing, program, byDestination, bySource, ratio };
    expect(ratio).toBeLessThanOrEqual(name === translated ? mostTranslated : most);
  });
});
