/**
 * What a packet costs at a parent, against a program that finds the IP header and does one lookup by longest prefix
 * (bench/parent-cost): of the container's address where it is a container's packet, else of the destination. Times of single runs, taken in turns: of each the shortest counts, since whatever else the machine does only
 * adds.
 *
 * `FAIRWAY_PARENT_COST=FILE` writes what was measured.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { buildBpf } from "../../scripts/bpf.mjs";
import { FAMILIES, type Family, parseAddress } from "../../src/ip.js";
import { BpfObject, type BpfProgram } from "../../src/native/index.js";
import { root } from "../lab/lib/paths.js";
import { type Run, useDatapath } from "./lib/datapath.js";
import { OnParent } from "./lib/parent.js";

const most = 1.1;
/** What is routed is counted for two containers, changed and redirected as well. */
const mostRouted = 1.25;
const toAnother = "leaving: to another network's";
/** More runs can only make the shortest ones truer. */
const attempts = 5;
const runs = Number(process.env.FAIRWAY_PARENT_COST_RUNS ?? 2000);

/** A host's routing table: a default route, and sixteen subnets. */
const subnets = (family: Family): (readonly [string, number])[] =>
  family === 4
    ? [["0.0.0.0", 0], ...Array.from({ length: 16 }, (_, i) => [`192.168.${i}.0`, 24] as const)]
    : [["::", 0], ...Array.from({ length: 16 }, (_, i) => [`2001:db8:a${i.toString(16)}::`, 64] as const)];

const datapath = useDatapath();
let object: BpfObject;
let baselines: Record<"by_source" | "by_destination", BpfProgram>;
beforeAll(async () => {
  const path = join(root, "build", "parent-cost.bpf.o");
  await buildBpf({ from: join(root, "bench", "parent-cost"), to: path });
  object = BpfObject.open(readFileSync(path), "baseline");
  object.load();
  baselines = { by_source: object.program("by_source"), by_destination: object.program("by_destination") };
  for (const family of FAMILIES) {
    const map = object.map(`routes_ipv${family}`);
    for (const [network, length] of subnets(family)) {
      const prefix = Buffer.alloc(4);
      prefix.writeUInt32LE(length);
      map.set(Buffer.concat([prefix, parseAddress(network) ?? new Uint8Array()]), Buffer.alloc(4, 1));
    }
    map.close();
  }
}, 120_000);
const measured: Record<string, { ns: number; baseline: number; ratio: number }> = {};
afterAll(() => {
  for (const program of Object.values(baselines ?? {})) program.close();
  object?.close();
  const file = process.env.FAIRWAY_PARENT_COST;
  if (file) writeFileSync(file, `${JSON.stringify(measured, null, 2)}\n`);
});
beforeEach(() => datapath.reset());

interface Shortest {
  ns: number;
  baseline: number;
}

/** The shortest run of each, in ns, those of before included. */
function shortest(run: () => Run, against: BpfProgram, before: Shortest): Shortest {
  const frame = run().before;
  const best = { ...before };
  for (let count = 0; count < runs; count += 1) {
    best.ns = Math.min(best.ns, run().durationNs);
    best.baseline = Math.min(best.baseline, against.testRun({ data: frame }).durationNs);
  }
  return best;
}

describe.each(FAMILIES)("IPv%i", (family) => {
  const on = new OnParent(datapath, family);
  const { client } = on.address;

  const routed = () => {
    on.put("one", { route: 1 });
    on.put("two", { route: 2, parent: datapath.device.uplink1 });
  };

  test.each<[string, "by_source" | "by_destination", () => void, () => Run]>([
    ["leaving: the host's own", "by_destination", () => on.put(), () => on.leaves({ destination: client })],
    ["leaving: a container's to the outside", "by_source", () => on.put(), () => on.sends({})],
    ["leaving: a routed network's to the outside", "by_source", routed, () => on.sends({})],
    [toAnother, "by_source", routed, () => on.sends({ destination: on.child.two })],
    ["coming in: the host's own", "by_destination", () => on.put(), () => on.arrives({})],
    [
      "coming in: a container's",
      "by_destination",
      () => on.put(),
      () => on.arrives({ destination: on.child.one }),
    ],
  ])(
    "%s",
    (name, against, before, run) => {
      before();
      const limit = name === toAnother ? mostRouted : most;
      let best = { ns: Number.POSITIVE_INFINITY, baseline: Number.POSITIVE_INFINITY };
      let ratio = Number.POSITIVE_INFINITY;
      for (let attempt = 0; attempt < attempts && !(ratio <= limit); attempt += 1) {
        best = shortest(run, baselines[against], best);
        ratio = best.ns / best.baseline;
      }
      measured[`IPv${family}, ${name}`] = { ...best, ratio: Math.round(ratio * 100) / 100 };
      expect(ratio).toBeLessThanOrEqual(limit);
    },
    60_000,
  );
});
