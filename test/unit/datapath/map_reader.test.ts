import type { Logger } from "pino";
import { describe, expect, it, vi } from "vitest";
import { Applier } from "../../../src/datapath/apply.js";
import type { Attachments } from "../../../src/datapath/links.js";
import { MapReader } from "../../../src/datapath/map_reader.js";
import type { PlacedEndpoint } from "../../../src/datapath/slots.js";
import {
  type EndpointCounters,
  endpointCountersCodec,
  HostOutcome,
  Reason,
} from "../../../src/generated/index.js";
import { possibleCpus } from "../../../src/native/index.js";
import type { Plan, PlannedPort } from "../../../src/plan/types.js";
import { dual, endpoint, fakeMaps, ip, planOf, port } from "./scene.js";

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
const SLOT_NONE = 0xffffffff;

async function scene(plan: Plan) {
  const kernel = fakeMaps();
  const log = { debug() {}, warn() {} } as unknown as Logger;
  const applier = new Applier(kernel.maps, attachments, () => {}, log);
  let placed: PlacedEndpoint[] = [];
  let numbers: ReadonlyMap<number, PlannedPort> = new Map();
  let current = plan;
  const reader = new MapReader(kernel.maps, {
    placed: () => placed,
    plan: () => current,
    portNumbers: () => numbers,
    failedWrites: (map) => applier.failedWrites(map),
    policyEntries: () => undefined,
    sweep: { entries: { 4: 42, 6: 3 }, countedAt: 7, inserted: 100, evicted: 5, number: 8 },
  });
  const applied = await applier.apply(plan);
  placed = applied.placed;
  numbers = applied.changes.ports.byNumber;
  const use = (next: Plan, nextPlaced: PlacedEndpoint[]) => {
    current = next;
    placed = nextPlaced;
  };
  return { ...kernel, reader, applier, use };
}

/** One CPU's counters: every figure told from the others. */
function counters(base: number): EndpointCounters {
  const at = (n: number) => ({ packets: BigInt(base + n), bytes: BigInt((base + n) * 100) });
  return {
    path: [
      [at(1), at(2)],
      [at(3), at(4)],
    ],
  };
}

const [one, two] = [
  endpoint(1),
  dual(2, {
    ip: { 4: ip("172.17.0.2", { masquerade: false })[4], 6: ip("2001:db8::2", { masquerade: false })[6] },
  }),
] as const;

const onEveryCpu = (value: Buffer) => Buffer.concat(Array<Buffer>(possibleCpus()).fill(value));

describe("MapReader", () => {
  it("gives endpoints their names, and the sum of all CPUs' counters", async () => {
    const { reader, fake } = await scene(planOf([one, two]));
    const key = Buffer.from([1, 0, 0, 0]);
    const cpus = [counters(0), counters(1000)].map((c) => endpointCountersCodec.encode(c));
    fake("endpoint_counters").set(key, Buffer.concat(cpus));
    expect(reader.endpoints()).toMatchObject([
      {
        slot: 0,
        container: "container1",
        receive: { fast: { packets: 0 } },
        transmit: { slow: { bytes: 0 } },
      },
      {
        slot: 1,
        generation: 2,
        container: "container2",
        network: "bridge",
        addresses: ["172.17.0.2", "2001:db8::2"],
        device: "veth2",
        masquerade: false,
        bridging: true,
        receive: { fast: { packets: 1002, bytes: 100200 }, slow: { packets: 1004, bytes: 100400 } },
        transmit: { fast: { packets: 1006, bytes: 100600 }, slow: { packets: 1008, bytes: 100800 } },
      },
    ]);
  });

  it("reads the counters of slots far apart", async () => {
    const many = Array.from({ length: 2500 }, (_, i) =>
      endpoint(1, {
        endpointId: i.toString(16).padStart(16, "0").padEnd(64, "0"),
        ifindex: 10 + i,
        ip: ip(`10.1.${i >> 8}.${i & 255}`),
      }),
    );
    const { reader, fake } = await scene(planOf(many));
    const key = Buffer.alloc(4);
    key.writeUInt32LE(2400);
    const cpus = [counters(0), counters(0)].map((c) => endpointCountersCodec.encode(c));
    fake("endpoint_counters").set(key, Buffer.concat(cpus));
    const busy = reader.endpoints().filter((e) => e.receive.fast.packets > 0);
    expect(busy.map((e) => [e.slot, e.receive.fast.packets])).toEqual([[2400, 2]]);
  });

  it("gives connections their endpoint, over all CPUs, and what the last sweep has counted as open", async () => {
    const { reader, maps } = await scene(planOf([one, two]));
    const value = { established: [2n, 0n], syn: [3n, 0n], rst: [0n, 4n], snatRetried: 1n, snatFailed: 0n };
    const cpu = maps.connection_counters.value.encode({
      ...value,
      opened: [
        [5n, 6n],
        [7n, 8n],
      ],
      snatAllocated: 9n,
    });
    maps.connection_counters.kernel.set(maps.connection_counters.key.encode(1), onEveryCpu(cpu));
    const cpus = possibleCpus();
    const open = [
      [1, 2],
      [3, 4],
    ];
    maps.open_connections.set(0, { sweep: 7, open, halfOpen: [9, 9] });
    maps.open_connections.set(1, { sweep: 8, open, halfOpen: [1, 0] });
    const none = { opened: { tcp: 0, udp: 0 }, established: 0, syn: 0, rst: 0 };
    expect([...reader.connectionSteps()].flat()).toMatchObject([
      { endpoint: { container: "container1" }, receive: { ...none, open: { tcp: 0, udp: 0 }, halfOpen: 0 } },
      {
        endpoint: { container: "container2" },
        receive: {
          opened: { tcp: 5 * cpus, udp: 6 * cpus },
          established: 2 * cpus,
          syn: 3 * cpus,
          open: { tcp: 1, udp: 2 },
          halfOpen: 1,
        },
        transmit: {
          opened: { tcp: 7 * cpus, udp: 8 * cpus },
          rst: 4 * cpus,
          open: { tcp: 3, udp: 4 },
          halfOpen: 0,
        },
        snat: { allocated: 9 * cpus, retried: cpus, failed: 0 },
      },
    ]);
  });

  it("tells of published ports what was counted of them; of those that have had nothing, and of numbers that are nobody's, nothing", async () => {
    const ports = [
      port(one, 8080),
      port(one, 8082),
      port(two, 8081, { address: "::", containerAddress: "2001:db8::2" }),
    ];
    const { reader, maps } = await scene({ ...planOf([one, two]), ports });
    const put = (number: number, base: bigint) => {
      const at = (n: bigint) => ({ packets: base + n, bytes: (base + n) * 100n });
      const value = { traffic: [at(1n), at(2n)], opened: base + 3n, refused: base + 4n };
      maps.port_counters.kernel.set(
        maps.port_counters.key.encode(number),
        onEveryCpu(maps.port_counters.value.encode(value)),
      );
    };
    put(1, 0n);
    put(3, 1000n);
    put(4, 5n);
    const cpus = possibleCpus();
    const counted = (base: number) => ({
      receive: { packets: (base + 1) * cpus, bytes: (base + 1) * 100 * cpus },
      transmit: { packets: (base + 2) * cpus, bytes: (base + 2) * 100 * cpus },
      opened: (base + 3) * cpus,
      refused: (base + 4) * cpus,
    });
    expect([...reader.portCountSteps()].flat()).toMatchObject([
      { port: { container: "container1", address: "0.0.0.0", port: 8080 }, ...counted(0) },
      { port: { container: "container2", address: "::", port: 8081 }, ...counted(1000) },
    ]);
    put(1, 10n);
    const [first] = [...reader.portCountSteps()].flat();
    expect(first).toMatchObject(counted(10));
    expect([...reader.portCountSteps()].flat()[0]).toBe(first);
    expect(reader.maps().find(({ map }) => map === "port_counters")).toMatchObject({ entries: 3 });
  });

  it("tells how long handshakes took, by network; none of networks that have no endpoint", async () => {
    const { reader, maps } = await scene(planOf([one]));
    const count = Array.from({ length: 14 }, (_, index) => BigInt(index === 3 ? 2 : 0));
    const put = (bridgeIfindex: number, direction: number) =>
      maps.handshakes.kernel.set(
        maps.handshakes.key.encode({ bridgeIfindex, direction }),
        onEveryCpu(maps.handshakes.value.encode({ count, sum: 1500n })),
      );
    put(3, 1);
    put(99, 1);
    const cpus = possibleCpus();
    expect(reader.handshakes()).toMatchObject([
      { network: "bridge", direction: "receive", sum: 0 },
      {
        network: "bridge",
        direction: "transmit",
        sum: 0.0015 * cpus,
        counts: [0, 0, 0, 2 * cpus, ...Array(10).fill(0)],
      },
    ]);
  });

  it("names reasons and leaves out those of endpoints that are gone", async () => {
    const { reader, maps } = await scene(planOf([one]));
    const put = (slot: number, direction: number, verdict: number, reason: number) =>
      maps.reasons.set({ slot, direction, verdict, reason }, { packets: 3n, bytes: 300n });
    put(0, 0, 1, Reason.FRAGMENT);
    put(0, 1, 2, Reason.REWRITE_FAILED);
    put(SLOT_NONE, 1, 1, Reason.ENDPOINT_UNKNOWN);
    put(9, 0, 1, Reason.FRAGMENT);
    const figures = { packets: 3, bytes: 300 };
    const names = { containerId: one.containerId, container: "container1", network: "bridge" };
    expect(reader.reasons()).toEqual([
      { ...names, direction: "receive", verdict: "slow", reason: "fragment", ...figures },
      { ...names, direction: "transmit", verdict: "drop", reason: "rewrite_failed", ...figures },
      {
        containerId: undefined,
        container: undefined,
        network: undefined,
        direction: "transmit",
        verdict: "slow",
        reason: "endpoint_unknown",
        ...figures,
      },
    ]);
  });

  it("says how full the maps are", async () => {
    const { reader } = await scene(planOf([one, two], { ports: [port(one, 80), port(two, 81)] }));
    const byName = new Map(reader.maps().map((m) => [m.map, m]));
    expect(byName.get("ports_ipv4")).toEqual({
      map: "ports_ipv4",
      entries: 2,
      maxEntries: 65536,
      failedWrites: 0,
    });
    expect(byName.get("endpoints")).toMatchObject({ entries: 2, maxEntries: 16384 });
    expect(byName.get("flows_ipv4")).toMatchObject({ entries: 42 });
    expect(byName.get("flows_ipv6")).toMatchObject({ entries: 3 });
    expect(byName.get("uplinks")).toMatchObject({ entries: 1 });
    expect(reader.flows()).toEqual({
      entries: 45,
      maxEntries: 2 * 131072,
      inserted: 100,
      evicted: 5,
      countedAt: 7,
    });
  });

  it("counts maps in turn, a batch at a call where counting takes its time: none stays as it was, none is half counted", async () => {
    const { reader, fake } = await scene(planOf([one], { ports: [port(one, 80)] }));
    const counted = () =>
      new Map([...reader.mapSteps(0)].flatMap((m) => (m === undefined ? [] : [[m.map, m.entries] as const])));
    expect(counted().get("ports_ipv4")).toBe(1);
    fake("ports_ipv4").set(Buffer.from([0, 0, 0, 0, 0, 81, 6, 0]), Buffer.alloc(16));
    // An array of 32 batches: its first entry and its last.
    for (const index of [0, 65535]) {
      const key = Buffer.alloc(4);
      key.writeUInt32LE(index);
      fake("masquerade_ports").set(key, Buffer.from([1]));
    }
    const readings = Array.from({ length: counted().size + 2 * 32 }, counted);
    expect(readings.at(-1)?.get("ports_ipv4")).toBe(2);
    expect(new Set(readings.map((all) => all.get("masquerade_ports")))).toEqual(new Set([0, 2]));
    expect(readings.every((all) => all.size === readings[0]?.size)).toBe(true);
  });

  it("reads what is there now, however often it was read before and whatever came, went or changed its name", async () => {
    let plan = planOf([one, two], { ports: [port(one, 8080)] });
    const { reader, maps, applier, use } = await scene(plan);
    const put = (slot: number, reason: number, packets: bigint) =>
      maps.reasons.set({ slot, direction: 0, verdict: 1, reason }, { packets, bytes: 0n });
    const told = () =>
      reader.reasons().map(({ container, reason, packets }) => [container, reason, packets].join(" "));
    put(0, Reason.FRAGMENT, 1n);
    put(1, Reason.FRAGMENT, 2n);
    put(1, Reason.NO_FLOW, 3n);
    expect(told()).toEqual(["container1 fragment 1", "container2 fragment 2", "container2 no_flow 3"]);
    put(1, Reason.FRAGMENT, 20n);
    maps.reasons.kernel.delete(
      maps.reasons.key.encode({ slot: 0, direction: 0, verdict: 1, reason: Reason.FRAGMENT }),
    );
    expect(told()).toEqual(["container2 fragment 20", "container2 no_flow 3"]);
    expect(reader.ports()).toBe(reader.ports());

    plan = planOf([one, { ...two, container: "renamed" }], { ports: [port(two, 8081)] });
    use(plan, (await applier.apply(plan)).placed);
    expect(told()).toEqual(["renamed fragment 20", "renamed no_flow 3"]);
    expect(reader.endpoints().map(({ container }) => container)).toEqual(["container1", "renamed"]);
    expect(reader.ports()).toMatchObject([{ container: "renamed", port: 8081 }]);
  });

  it("tells which published ports the host's processes have dialled, by what became of it", async () => {
    const dialled = (number: number, address = "0.0.0.0") => ({
      ...port(one, number, { address }),
      loopback: "proxied" as const,
      addresses: "proxied" as const,
      keepSource: true,
      source: undefined,
    });
    const plan = { ...planOf([one]), hostPorts: [dialled(80), dialled(81), dialled(81, "198.18.0.1")] };
    const { reader, fake, maps } = await scene(plan);
    const { key, value } = maps.host_port_counters;
    const put = (address: string, number: number, led: bigint, bound: bigint) => {
      const sockets = Array.from({ length: value.size / 8 }, (_, outcome) =>
        outcome === HostOutcome.LED ? led : outcome === HostOutcome.BOUND ? bound : 0n,
      );
      const bytes = value.encode({ sockets });
      fake("host_port_counters").set(
        key.encode({ address, port: number, proto: 6 }),
        Buffer.concat([bytes, bytes]),
      );
    };
    put("::ffff:198.18.0.1", 81, 5n, 1n);
    put("::ffff:0.0.0.0", 99, 7n, 0n);
    for (let times = 0; times < 2; times++)
      expect(reader.hostPorts()).toEqual([
        expect.objectContaining({
          address: "198.18.0.1",
          port: 81,
          container: "container1",
          led: 10,
          left: { bound: 2 },
        }),
      ]);
  });

  it("names the published ports", async () => {
    const { reader } = await scene(
      planOf([one], { ports: [port(one, 8080), port(one, 53, { proto: "udp", address: "198.18.0.1" })] }),
    );
    expect(reader.ports()).toEqual([
      {
        proto: "tcp",
        address: "0.0.0.0",
        port: 8080,
        published: "0.0.0.0:8080",
        containerId: one.containerId,
        container: "container1",
        network: "bridge",
        containerAddress: "172.17.0.1",
        containerPort: 80,
      },
      expect.objectContaining({ proto: "udp", address: "198.18.0.1", port: 53, published: "198.18.0.1:53" }),
    ]);
  });
});
