import type { Logger } from "pino";
import { describe, expect, it, vi } from "vitest";
import { Applier } from "../../../src/datapath/apply.js";
import type { Attachments } from "../../../src/datapath/links.js";
import { PairReader } from "../../../src/datapath/pairs.js";
import type { PlacedEndpoint } from "../../../src/datapath/slots.js";
import { counterCodec, type EndpointRef, mapDefinitions } from "../../../src/generated/index.js";
import type { Plan } from "../../../src/plan/types.js";
import { endpoint, fakeMaps, planOf } from "./scene.js";

vi.mock("../../../src/datapath/conntrack.js", () => ({
  deleteConnectionsOf: () => undefined,
  deleteStaleUdp: () => 0,
}));
vi.mock("../../../src/datapath/links.js", () => ({}));

const attachments = {
  mode: "tcx",
  list: () => [],
  together: <T>(work: () => T) => work(),
  series: <T>(work: () => Promise<T>) => work(),
  attach: () => true,
  detach() {},
  after: () => [],
  detached: new Map(),
  close() {},
} as Attachments;

const [one, two, three] = [1, 2, 3].map((number) => endpoint(number, { matrix: true })) as [
  Plan["endpoints"][0],
  Plan["endpoints"][0],
  Plan["endpoints"][0],
];

function scene() {
  const { maps, fake } = fakeMaps();
  const applier = new Applier(maps, attachments, () => {}, { debug() {}, warn() {} } as unknown as Logger);
  let placed: PlacedEndpoint[] = [];
  const reader = new PairReader(maps, () => placed);
  /** On two CPUs. */
  const count = (from: EndpointRef, to: EndpointRef, packets: number) => {
    const cpus = [packets, 1].map((n) => counterCodec.encode({ packets: BigInt(n), bytes: BigInt(100 * n) }));
    fake("pairs").set(mapDefinitions.pairs.key.encode({ from, to }), Buffer.concat(cpus));
  };
  return {
    fake,
    count,
    reader,
    applier,
    apply: async (endpoints: Plan["endpoints"]) => {
      ({ placed } = await applier.apply(planOf(endpoints)));
    },
    ref: (container: string): EndpointRef => {
      const found = placed.find(({ planned }) => planned.container === container);
      if (found === undefined) throw new Error(`no ${container}`);
      return { slot: found.slot, generation: found.endpoint.generation };
    },
    read: () =>
      [...reader.steps()].flat().map(({ network, from, to, packets, bytes }) => ({
        pair: `${network}: ${from} ${to}`,
        packets,
        bytes,
      })),
    entries: () => fake("pairs").entriesByKey.size,
  };
}

describe("pairs of endpoints", () => {
  it("have their names, and the sums of all CPUs'", async () => {
    const { apply, count, ref, read } = scene();
    await apply([one, two]);
    count(ref("container1"), ref("container2"), 5);
    count(ref("container2"), ref("container1"), 7);
    expect(read()).toEqual([
      { pair: "bridge: container1 container2", packets: 6, bytes: 600 },
      { pair: "bridge: container2 container1", packets: 8, bytes: 800 },
    ]);
    count(ref("container1"), ref("container2"), 9);
    expect(read()[0]).toEqual({ pair: "bridge: container1 container2", packets: 10, bytes: 1000 });
  });

  it("are taken out of the map when one of them is gone; the others stay", async () => {
    const { apply, count, ref, read, entries } = scene();
    await apply([one, two, three]);
    const [first, second, third] = ["container1", "container2", "container3"].map(ref) as [
      EndpointRef,
      EndpointRef,
      EndpointRef,
    ];
    count(first, second, 1);
    count(second, third, 2);
    count(third, first, 3);
    await apply([one, three]);
    expect(read().map(({ pair }) => pair)).toEqual(["bridge: container3 container1"]);
    expect(entries()).toBe(1);
  });

  it("are taken out as soon as a device is gone, before any plan says so", async () => {
    const { apply, applier, count, ref, entries } = scene();
    await apply([one, two, three]);
    count(ref("container1"), ref("container2"), 1);
    count(ref("container1"), ref("container3"), 1);
    applier.forgetDevices(new Set([two.ifindex]));
    expect(entries()).toBe(1);
  });

  it("are never those of a slot's owner before", async () => {
    const { apply, count, ref, read } = scene();
    await apply([one, two]);
    const [first, second] = [ref("container1"), ref("container2")];
    await apply([one]);
    const next = { ...three, ifindex: 999 };
    await apply([one, next]);
    expect(ref("container3").slot).toBe(second.slot);
    // As a program may have written it that was just running.
    count(first, second, 1);
    expect(read()).toEqual([]);
    count(first, ref("container3"), 4);
    expect(read()).toEqual([{ pair: "bridge: container1 container3", packets: 5, bytes: 500 }]);
  });

  it("are taken out, and not told, when the network is not to be counted any more", async () => {
    const { apply, count, ref, read, entries } = scene();
    await apply([one, two]);
    count(ref("container1"), ref("container2"), 1);
    await apply([one, two].map((planned) => ({ ...planned, matrix: false })));
    expect(read()).toEqual([]);
    expect(entries()).toBe(0);
  });

  it("that found no room are counted", async () => {
    const { fake, reader } = scene();
    expect(reader.uncounted()).toBe(0);
    const cpus = [3, 4].map((n) => counterCodec.encode({ packets: BigInt(n), bytes: 0n }));
    fake("pairs_uncounted").set(Buffer.alloc(4), Buffer.concat(cpus));
    expect(reader.uncounted()).toBe(7);
  });
});
