/**
 * What a packet costs at a parent, against a program that finds the IP header and looks an address up by longest prefix
 * (bench/parent-cost), in time: of single runs, taken in turns, the shortest counts, since whatever else the machine does only adds. The
 * time of BPF_PROG_RUN itself is in both. Of what a container sends it is the container's address, of others the destination: it takes steps
 * of 10 ns on some machines, too coarse for less. test/vm/parent-instructions.test.ts counts instructions, of the destination's lookup always.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FAMILIES } from "../../src/ip.js";
import { type Run, useDatapath } from "./lib/datapath.js";
import { OnParent } from "./lib/parent.js";
import { Baseline, buildBaseline, Kinds, most, translated } from "./lib/parent-cost.js";

/** More runs can only make the shortest ones truer. */
const attempts = 5;
const runs = Number(process.env.FAIRWAY_PARENT_COST_RUNS ?? 2000);

const datapath = useDatapath();
let baseline: Baseline;
beforeAll(async () => {
  await buildBaseline();
  baseline = new Baseline();
}, 120_000);
afterAll(() => baseline?.close());

interface Shortest {
  program: number;
  lookup: number;
}

/** The shortest run of each, in ns, those of before included. */
function shortest(run: () => Run, against: () => number, before: Shortest): Shortest {
  const best = { ...before };
  for (let count = 0; count < runs; count += 1) {
    best.program = Math.min(best.program, run().durationNs);
    best.lookup = Math.min(best.lookup, against());
  }
  return best;
}

describe.each(FAMILIES)("IPv%i", (family) => {
  const kinds = new Kinds(new OnParent(datapath, family));

  test.each(kinds.names.filter((name) => name !== translated))(
    "%s",
    (name) => {
      const { run, frame, sent } = kinds.prepare(name);
      const lookup = sent ? "by_source" : "by_destination";
      let best = { program: Number.POSITIVE_INFINITY, lookup: Number.POSITIVE_INFINITY };
      const ratio = () => best.program / best.lookup;
      for (let attempt = 0; attempt < attempts && !(ratio() <= most); attempt += 1)
        best = shortest(run, () => baseline.run(lookup, frame), best);
      expect(ratio()).toBeLessThanOrEqual(most);
    },
    60_000,
  );
});
