/** What endpoints of one network send each other, where the network is counted by pair. */
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { EndpointFlags, PAIRS_MAX } from "../../src/generated/types.js";
import { bridging, Datapath, type RunOptions, slot, type Traffic, useDatapath } from "./lib/datapath.js";
import { FamilyDatapath, onBothFamilies } from "./lib/family.js";
import { mac } from "./lib/host.js";
import { etherType, type PacketSpec } from "./lib/packet.js";

const matrix = bridging | EndpointFlags.MATRIX;
const [webToDb, dbToWeb] = [`${slot.web}>${slot.db}`, `${slot.db}>${slot.web}`];

/** Both endpoints as those of a network that asks for it. */
function ask(datapath: Datapath, flags: number = matrix): void {
  for (const at of [slot.web, slot.db]) datapath.putEndpoint(at, { flags });
}

const datapath = useDatapath();

onBothFamilies("counted by pair", datapath, (on) => {
  const { address } = on;
  beforeEach(() => ask(datapath));

  const payload = Buffer.alloc(100);
  const bytes = on.headerLength + 20 + 100;
  const toDb: Partial<PacketSpec> = { destinationMac: mac.db, destination: address.db, payload };
  const toWeb: Partial<PacketSpec> = { destinationMac: mac.web, destination: address.web, payload };
  /** As the kernel's bridge delivers to db what web sends. */
  const delivered = (spec: Partial<PacketSpec> = {}, options: RunOptions = {}) =>
    on.toDb({ sourceMac: mac.web, source: address.web, payload, ...spec }, { arrivedBy: "web0", ...options });

  test("on the fast path, each direction for itself", () => {
    for (let count = 0; count < 3; count++) expect(on.fromWeb(toDb).verdict).toBe("redirect");
    expect(on.fromDb(toWeb).verdict).toBe("redirect");
    expect(datapath.pairs()).toEqual({
      [webToDb]: { packets: 3, bytes: 3 * bytes },
      [dbToWeb]: { packets: 1, bytes },
    });
    expect(datapath.counters(slot.db).receive.fast).toEqual(datapath.pairs()[webToDb]);
    expect(datapath.pairsUncounted()).toEqual({ packets: 0, bytes: 0 });
  });

  test("on the slow path as the kernel's bridge delivers it, once, both paths in one figure", () => {
    ask(datapath, EndpointFlags.MATRIX);
    expect(on.fromWeb(toDb).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ bridge_policy: 1 });
    // The bridge, or a rule, may drop it yet.
    expect(datapath.pairs()).toEqual({});
    expect(delivered().verdict).toBe("next");
    expect(datapath.pairs()).toEqual({ [webToDb]: { packets: 1, bytes } });
    ask(datapath);
    on.fromWeb(toDb);
    delivered();
    expect(datapath.pairs()[webToDb]).toEqual({ packets: 2, bytes: 2 * bytes });
  });

  test("GSO packets as their segments, on both paths", () => {
    const size = 900;
    const gso = { gso: { segments: 3, size } };
    const large = Buffer.alloc(3 * size);
    const counted: Traffic = { packets: 3, bytes: 3 * (size + on.headerLength + 20) };
    expect(on.fromWeb({ ...toDb, payload: large }, gso).verdict).toBe("redirect");
    expect(datapath.pairs()).toEqual({ [webToDb]: counted });
    delivered({ payload: large }, gso);
    expect(datapath.pairs()).toEqual({ [webToDb]: { packets: 6, bytes: 2 * counted.bytes } });
  });

  test.each([
    ["what the host sends", { arrivedBy: null }, {}],
    ["what was routed here from outside", { arrivedBy: "uplink0" }, {}],
    ["what was routed by the gateway, from a sibling's published port", { arrivedBy: "br-app" }, {}],
    ["what comes from a device that is no endpoint's", { arrivedBy: "uplink1" }, {}],
    ["what is flooded, for another MAC", {}, { destinationMac: "02:42:ac:1e:00:63" }],
    ["broadcast", {}, { destinationMac: "ff:ff:ff:ff:ff:ff" }],
    ["ARP", {}, { etherType: etherType.arp }],
    ["a tagged frame", {}, { etherType: etherType.vlan }],
  ] as [string, RunOptions, Partial<PacketSpec>][])("%s is in no pair", (_name, options, spec) => {
    delivered(spec, options);
    expect(datapath.counters(slot.db).receive.slow.packets).toBe(1);
    expect(datapath.pairs()).toEqual({});
  });

  test("to the gateway it is in no pair, nor to itself", () => {
    on.fromWeb({ payload });
    on.fromWeb({ destinationMac: mac.web, destination: address.web });
    expect(datapath.pairs()).toEqual({});
  });

  test("from an endpoint of another network's bridge it is in no pair", () => {
    datapath.putEndpoint(slot.web, { flags: matrix, bridgeIfindex: datapath.device["br-other"] });
    delivered();
    expect(datapath.pairs()).toEqual({});
  });

  test("a network that does not ask for it has none, on either path", () => {
    ask(datapath, bridging);
    expect(on.fromWeb(toDb).verdict).toBe("redirect");
    delivered();
    expect(datapath.pairs()).toEqual({});
    expect(datapath.pairsUncounted().packets).toBe(0);
  });

  test.each(["web", "db"] as const)("what %s's slot has counted is not its next owner's", (name) => {
    on.fromWeb(toDb);
    delivered();
    expect(datapath.pairs()).toEqual({ [webToDb]: { packets: 2, bytes: 2 * bytes } });
    datapath.putEndpoint(slot[name], { flags: matrix });
    expect(datapath.pairs()).toEqual({ stale: { packets: 2, bytes: 2 * bytes } });
    on.fromWeb(toDb);
    expect(datapath.pairs()).toEqual({
      [webToDb]: { packets: 1, bytes },
      stale: { packets: 2, bytes: 2 * bytes },
    });
  });

  test("of an endpoint that is gone nothing is counted", () => {
    datapath.clearSlot(slot.web);
    delivered();
    datapath.putEndpoint(slot.web, { flags: matrix });
    datapath.clearSlot(slot.db);
    on.fromWeb(toDb);
    delivered();
    expect(datapath.pairs()).toEqual({});
  });
});

describe("a table that is full", () => {
  const room = 4;
  const small = new Datapath((object) => object.setMaxEntries("pairs", room));
  afterAll(() => small.close());
  const on = new FamilyDatapath(small, 4);
  const toDb: Partial<PacketSpec> = { destinationMac: mac.db, destination: on.address.db };
  const key = (number: number) => ({
    from: { slot: 100 + number, generation: 1 },
    to: { slot: 200, generation: 1 },
  });
  beforeEach(() => {
    small.reset();
    ask(small);
    for (let number = 0; number < room; number++)
      small.writePerCpu("pairs", key(number), { packets: 0n, bytes: 0n });
  });

  test("counts what has no room, and forwards it as ever", () => {
    for (let count = 0; count < 5; count++) expect(on.fromWeb(toDb).verdict).toBe("redirect");
    expect(small.pairsUncounted()).toEqual({ packets: 5, bytes: 5 * (on.headerLength + 20) });
    expect(small.counters(slot.db).receive.fast.packets).toBe(5);
    expect([...small.map("pairs").entries()]).toHaveLength(room);
  });

  test("counts by pair again when there is room", () => {
    on.fromWeb(toDb);
    small.remove("pairs", key(2));
    on.fromWeb(toDb);
    expect(small.pairsUncounted().packets).toBe(1);
    expect([...small.map("pairs").entries()]).toHaveLength(room);
    expect(small.pairs()[webToDb]?.packets).toBe(1);
  });
});

test("there is room for as many pairs as is said", () => {
  expect(datapath.map("pairs").info.maxEntries).toBe(PAIRS_MAX);
});
