import type { Logger } from "pino";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { Applier } from "../../../src/datapath/apply.js";
import { deleteConnectionsOf, deleteStaleUdp } from "../../../src/datapath/conntrack.js";
import type { Attachment, Attachments } from "../../../src/datapath/links.js";
import { endpointCountersCodec, PORT_NUMBERS, portCountersCodec } from "../../../src/generated/index.js";
import { dual, endpoint, fakeMaps, planOf, port } from "./scene.js";

vi.mock("../../../src/datapath/conntrack.js", () => ({
  deleteConnectionsOf: vi.fn(),
  deleteStaleUdp: vi.fn(() => 0),
}));
vi.mock("../../../src/datapath/links.js", () => ({}));

class FakeAttachments implements Attachments {
  readonly detached = new Map<string, number>();
  readonly mode = "tcx";
  readonly attached = new Map<string, Attachment>();
  readonly missing = new Set<number>();
  readonly others = new Map<string, string[]>();
  togethers = 0;
  constructor(readonly journal: string[]) {}
  after(a: Attachment): string[] {
    return this.others.get(`${a.program}-${a.ifindex}`) ?? [];
  }
  list(): Attachment[] {
    return [...this.attached.values()];
  }
  together<T>(work: () => T): T {
    this.togethers++;
    return work();
  }
  series<T>(work: () => Promise<T>): Promise<T> {
    return work();
  }
  attach(a: Attachment): boolean {
    if (this.missing.has(a.ifindex)) return false;
    this.journal.push(`attach ${a.program}-${a.ifindex}`);
    this.attached.set(`${a.program}-${a.ifindex}`, a);
    return true;
  }
  detach(a: Attachment): void {
    this.journal.push(`detach ${a.program}-${a.ifindex}`);
    this.attached.delete(`${a.program}-${a.ifindex}`);
  }
  close(): void {}
}

function scene(sizes: Parameters<typeof fakeMaps>[0] = {}) {
  const { maps, journal, fake } = fakeMaps(sizes);
  const attachments = new FakeAttachments(journal);
  const warnings: string[] = [];
  const voidFlows = () => journal.push("void flows");
  const log = { debug() {}, info() {}, error() {}, warn: (_o: unknown, m: string) => warnings.push(m) };
  return {
    maps,
    journal,
    fake,
    attachments,
    warnings,
    applier: new Applier(maps, attachments, voidFlows, log as unknown as Logger),
  };
}

const [one, two] = [endpoint(1), endpoint(2)] as const;

beforeEach(() => {
  vi.mocked(deleteConnectionsOf).mockClear();
  vi.mocked(deleteStaleUdp).mockClear();
});

describe("Applier", () => {
  it("writes a plan and attaches the programs, each at its devices", async () => {
    const { applier, attachments, maps } = scene();
    const result = await applier.apply(planOf([one, two], { ports: [port(one, 8080)] }));
    expect([...attachments.attached.keys()].sort()).toEqual([
      "endpoint_egress-101",
      "endpoint_egress-102",
      "endpoint_ingress-101",
      "endpoint_ingress-102",
      "uplink_egress-2",
      "uplink_ingress-2",
    ]);
    expect(maps.control.get(0)).toEqual({ epoch: 0, nextGeneration: 3, policy: 0 });
    expect(maps.endpoint_devices.get(102)).toEqual({ slot: 1, generation: 2 });
    // 2 endpoints with device, address and fdb each, 1 port, 1 host address, 1 uplink, 6 attachments.
    expect(result).toMatchObject({ added: 2 + 6 + 3 + 6, removed: 0, warnings: [] });
  });

  it("does nothing the second time", async () => {
    const { applier, journal } = scene();
    const plan = planOf([one, two], { ports: [port(one, 8080)] });
    await applier.apply(plan);
    journal.length = 0;
    expect(await applier.apply(plan)).toMatchObject({ added: 0, removed: 0 });
    expect(journal).toEqual([]);
  });

  it("asks nothing more than what is there, as long as nothing changes, and repairs what somebody else did", async () => {
    const { applier, attachments, maps, journal } = scene();
    const plan = planOf([one, two], { ports: [port(one, 8080)] });
    for (let pass = 0; pass < 3; pass++) await applier.apply(plan);
    journal.length = 0;
    attachments.togethers = 0;
    const { placed } = await applier.apply(plan);
    expect(placed.map(({ planned }) => planned.ifindex)).toEqual([101, 102]);
    expect(attachments.togethers).toBe(0);
    // An entry, an attachment and a slot that are not ours to lose.
    maps.endpoint_devices.kernel.delete(maps.endpoint_devices.key.encode(102));
    expect(await applier.apply(plan)).toMatchObject({ added: 1, removed: 0 });
    attachments.attached.delete("endpoint_egress-101");
    expect(await applier.apply(plan)).toMatchObject({ added: 1, removed: 0 });
    maps.endpoint_devices.set(7, { slot: 0, generation: 1 });
    expect(await applier.apply(plan)).toMatchObject({ added: 0, removed: 1 });
    for (let pass = 0; pass < 2; pass++)
      expect(await applier.apply(plan)).toMatchObject({ added: 0, removed: 0 });
    expect(await applier.apply(planOf([two]))).toMatchObject({ removed: expect.any(Number) });
    expect(maps.endpoint_devices.get(101)).toBeUndefined();
  });

  it("attaches ahead of a plan, and takes away what turns out not to be planned", async () => {
    const { applier, attachments, journal } = scene();
    applier.attachAhead([101, 103]);
    await new Promise((resolve) => setImmediate(resolve));
    expect([...attachments.attached.keys()].sort()).toEqual([
      "endpoint_egress-101",
      "endpoint_egress-103",
      "endpoint_ingress-101",
      "endpoint_ingress-103",
    ]);
    expect(journal.filter((line) => line.startsWith("set "))).toEqual([]);
    const result = await applier.apply(planOf([one, two]));
    expect([...attachments.attached.keys()].filter((key) => key.startsWith("endpoint")).sort()).toEqual([
      "endpoint_egress-101",
      "endpoint_egress-102",
      "endpoint_ingress-101",
      "endpoint_ingress-102",
    ]);
    // As many as if all had been attached by the plan, and the two at the device that nobody wanted.
    expect(result).toMatchObject({ added: 2 + 6 + 2 + 6 + 2, removed: 2 });
    expect(await applier.apply(planOf([one, two]))).toMatchObject({ added: 0, removed: 0 });
    // Nothing is missing, and nothing is attached twice.
    journal.length = 0;
    applier.attachAhead([101, 102]);
    await applier.apply(planOf([one, two]));
    expect(journal.filter((line) => line.includes("tach"))).toEqual([]);
  });

  it("attaches nothing any more when it is closed, and leaves to the plan what could not be attached ahead", async () => {
    const { applier, attachments } = scene();
    const attach = attachments.attach.bind(attachments);
    attachments.attach = (a) => {
      if (a.ifindex === 101) throw new Error("refused");
      return attach(a);
    };
    applier.attachAhead([101, 102]);
    await expect(applier.apply(planOf([one, two]))).rejects.toThrow("refused");
    attachments.attach = attach;
    expect(await applier.apply(planOf([one, two]))).toMatchObject({ added: 2 });
    applier.close();
    applier.attachAhead([107]);
    await applier.apply(planOf([one, two]));
    expect([...attachments.attached.values()].some(({ ifindex }) => ifindex === 107)).toBe(false);
  });

  it("removes before it adds: the slot first, then what points to it, then the connections", async () => {
    const { applier, journal } = scene();
    await applier.apply(planOf([one], { ports: [port(one, 8080)] }));
    journal.length = 0;
    vi.mocked(deleteConnectionsOf).mockImplementation((addresses) => {
      journal.push(`forget ${[...addresses].join()}`);
    });
    // The address goes to another container at once.
    const heir = endpoint(2, { ip: one.ip });
    await applier.apply(planOf([heir], { ports: [port(heir, 8080)] }));
    const order = [
      "clear endpoints",
      "delete endpoint_devices",
      "delete fdb",
      "forget 172.17.0.1",
      "detach endpoint_ingress-101",
      "set control",
      "set endpoint_counters",
      "set port_counters",
      "set endpoint_devices",
      "set endpoint_addresses_ipv4",
      "set ports_ipv4",
      // With this all that points to it holds, at once.
      "set endpoints",
      "attach endpoint_ingress-102",
    ];
    expect(journal.filter((line) => order.includes(line))).toEqual(order);
  });

  it("gives a newcomer counters at zero", async () => {
    const { applier, fake, maps } = scene();
    const key = Buffer.alloc(4);
    fake("endpoint_counters").set(key, Buffer.alloc(2 * endpointCountersCodec.size, 7));
    for (const slot of [0, 1]) {
      maps.reasons.set({ slot, direction: 0, verdict: 1, reason: 5 }, { packets: 3n, bytes: 4n });
    }
    await applier.apply(planOf([one]));
    expect(
      fake("endpoint_counters")
        .get(key)
        ?.every((byte) => byte === 0),
    ).toBe(true);
    expect([...maps.reasons.entries()].map((e) => e.key.slot)).toEqual([1]);
  });

  it("gives a published port counters at zero, and one that stays none", async () => {
    const { applier, fake } = scene();
    const key = (number: number) => Buffer.of(number, 0, 0, 0);
    const dirty = () => {
      for (const number of [1, 2])
        fake("port_counters").set(key(number), Buffer.alloc(2 * portCountersCodec.size, 7));
    };
    const isZero = (number: number) =>
      fake("port_counters")
        .get(key(number))
        ?.every((byte) => byte === 0);
    dirty();
    await applier.apply(planOf([one], { ports: [port(one, 80)] }));
    expect([isZero(1), isZero(2)]).toEqual([true, false]);
    dirty();
    await applier.apply(planOf([one], { ports: [port(one, 80), port(one, 81)] }));
    expect([isZero(1), isZero(2)]).toEqual([false, true]);
  });

  it("voids the flow entries when a published port goes and its endpoint stays, before another port is written", async () => {
    const { applier, journal, maps } = scene();
    const numbers = () => [...maps.ports_ipv4.entries()].map(({ value }) => value.number);
    await applier.apply(planOf([one, two], { ports: [port(one, 80)] }));
    journal.length = 0;
    await applier.apply(planOf([one, two], { ports: [port(two, 81)] }));
    const order = ["delete ports_ipv4", "void flows", "set ports_ipv4"];
    expect(journal.filter((line) => order.includes(line))).toEqual(order);
    // The first one's number rests, then it is given again.
    await applier.apply(planOf([one, two], { ports: [port(two, 81), port(two, 82)] }));
    expect(numbers()).toEqual([2, 3]);
    vi.spyOn(performance, "now").mockReturnValue(performance.now() + 2000);
    await applier.apply(planOf([one, two], { ports: [81, 82, 83].map((n) => port(two, n)) }));
    vi.restoreAllMocks();
    expect(numbers()).toEqual([2, 3, 1]);
    journal.length = 0;
    // A container that goes takes its flow entries with it.
    await applier.apply(planOf([one]));
    expect(journal).not.toContain("void flows");
  });

  it("publishes ports for which there is no number, and says so once", async () => {
    const { applier, warnings, maps } = scene();
    const ports = Array.from({ length: PORT_NUMBERS + 3 }, (_, at) => port(one, 1 + at));
    await applier.apply(planOf([one], { ports }));
    await applier.apply(planOf([one], { ports }));
    expect(maps.ports_ipv4.get({ address: "0.0.0.0", port: PORT_NUMBERS + 3, proto: 6 })?.number).toBe(0);
    expect(warnings).toEqual(["map is full: 3 published ports are not counted each on its own"]);
  });

  it("leaves out what a full map has no room for, counts it, says so once, and goes on", async () => {
    const { applier, warnings, maps, fake } = scene({ ports_ipv4: 2 });
    const plan = planOf([one], { ports: [80, 81, 82, 83].map((n) => port(one, n)) });
    await applier.apply(plan);
    await applier.apply(plan);
    expect(fake("ports_ipv4").entriesByKey.size).toBe(2);
    expect(applier.failedWrites("ports_ipv4")).toBe(4);
    expect(applier.failedWrites("fdb")).toBe(0);
    expect(warnings).toEqual(["map is full: 2 entries stay on the slow path"]);
    // What comes after it in the same pass is written all the same.
    expect(maps.uplinks.get(2)).toBeDefined();

    await applier.apply(planOf([one], { ports: [port(one, 82)] }));
    expect([...maps.ports_ipv4.entries()].map((e) => e.key.port)).toEqual([82]);
  });

  it("goes on when a device is gone before the program is at it", async () => {
    const { applier, attachments } = scene();
    attachments.missing.add(101);
    await applier.apply(planOf([one, two]));
    expect(attachments.attached.has("endpoint_ingress-102")).toBe(true);
    attachments.missing.clear();
    await applier.apply(planOf([one, two]));
    expect(attachments.attached.has("endpoint_ingress-101")).toBe(true);
  });

  it("fails when a program can't be attached, having attached the others", async () => {
    const { applier, attachments } = scene();
    const attach = attachments.attach.bind(attachments);
    attachments.attach = (a) => {
      if (a.ifindex === 101) throw new Error("attach tcx veth1: Operation not permitted (EPERM)");
      return attach(a);
    };
    await expect(applier.apply(planOf([one, two]))).rejects.toThrow(/EPERM/);
    expect(attachments.attached.has("endpoint_egress-102")).toBe(true);
    attachments.attach = attach;
    await expect(applier.apply(planOf([one, two]))).resolves.toMatchObject({ added: 2 });
  });

  it("detaches from uplinks that are none any more", async () => {
    const { applier, attachments, maps } = scene();
    await applier.apply(planOf([one]));
    await applier.apply(planOf([one], { uplinks: [] }));
    expect([...attachments.attached.keys()].sort()).toEqual(["endpoint_egress-101", "endpoint_ingress-101"]);
    expect(maps.uplinks.get(2)).toBeUndefined();
  });

  it("forgets UDP connections from before a port was published, once", async () => {
    const { applier } = scene();
    const plan = planOf([one], {
      ports: [
        port(one, 53, { proto: "udp" }),
        port(one, 54, { proto: "udp", address: "198.18.0.9" }),
        port(one, 55),
        port(one, 56, { proto: "udp", address: "::", containerAddress: "2001:db8:17::1" }),
      ],
      hostAddresses: ["198.18.0.5", "2001:db8::5"],
    });
    await applier.apply(plan);
    const rest = { family: 4, containerAddress: "172.17.0.1" };
    expect(vi.mocked(deleteStaleUdp).mock.calls[0]?.[0]).toEqual([
      { addresses: new Set(["198.18.0.5"]), port: 53, ...rest },
      { addresses: new Set(["198.18.0.9"]), port: 54, ...rest },
      {
        family: 6,
        addresses: new Set(["2001:db8::5"]),
        port: 56,
        containerAddress: "2001:db8:17::1",
      },
    ]);
    await applier.apply(plan);
    expect(vi.mocked(deleteStaleUdp).mock.calls[1]?.[0]).toEqual([]);
  });

  it("puts the programs for packets without Ethernet header where there is none", async () => {
    const { applier, attachments } = scene();
    const [eth0] = planOf([]).uplinks;
    const wg0 = { ...eth0, ifindex: 3, name: "wg0", mtu: 1420, l3: true, addresses: [], ipv6: undefined };
    await applier.apply(planOf([], { uplinks: [wg0] }));
    expect([...attachments.attached.keys()].sort()).toEqual(["uplink_egress_l3-3", "uplink_ingress_l3-3"]);
    // Another device has its index by now, and a header.
    await applier.apply(planOf([], { uplinks: [{ ...wg0, name: "eth9", l3: false }] }));
    expect([...attachments.attached.keys()].sort()).toEqual(["uplink_egress-3", "uplink_ingress-3"]);
  });

  it("warns of programs that see packets after the one that learns from them", async () => {
    const { applier, attachments } = scene();
    attachments.others.set("uplink_egress-2", ["shaper (id 12)"]);
    attachments.others.set("uplink_ingress-2", ["harmless (id 13)"]);
    const { warnings } = await applier.apply(planOf([one]));
    expect(warnings).toMatchObject([{ code: "uplink_program_after", transient: false }]);
    expect(warnings[0]?.message).toMatch(/^uplink eth0: the program shaper \(id 12\) sees packets after/);
  });

  it("takes both addresses of an endpoint out of the maps, and forgets the connections of both", async () => {
    const { applier, maps } = scene();
    await applier.apply(planOf([dual(1), two]));
    expect(maps.endpoint_addresses_ipv6.get("2001:db8:17::1")).toEqual({ slot: 0, generation: 1 });
    applier.forgetDevices(new Set([101]));
    expect(maps.endpoint_addresses_ipv4.get("172.17.0.1")).toBeUndefined();
    expect(maps.endpoint_addresses_ipv6.get("2001:db8:17::1")).toBeUndefined();
    const both = new Set(["172.17.0.1", "2001:db8:17::1"]);
    expect(deleteConnectionsOf).toHaveBeenCalledWith(both, expect.anything());
  });

  it("leaves the policy of the control record alone", async () => {
    const { applier, maps } = scene();
    maps.control.set(0, { epoch: 5, nextGeneration: 9, policy: 3 });
    await applier.apply(planOf([one]));
    expect(maps.control.get(0)).toEqual({ epoch: 5, nextGeneration: 10, policy: 3 });
  });

  it("takes an endpoint out at once when its device goes", async () => {
    const { applier, maps } = scene();
    await applier.apply(planOf([one, two]));
    expect(applier.forgetDevices(new Set([101, 555]))).toMatchObject([{ slot: 0 }]);
    expect(maps.endpoints.get(0)?.generation).toBe(0);
    expect(maps.endpoint_devices.get(101)).toBeUndefined();
    expect(maps.endpoint_devices.get(102)).toBeDefined();
    expect(deleteConnectionsOf).toHaveBeenCalledWith(new Set(["172.17.0.1"]), expect.anything());
    expect(applier.forgetDevices(new Set([101]))).toEqual([]);

    // The next pass tidies up what still names it, and gives its slot a new generation.
    await applier.apply(planOf([two]));
    expect(maps.endpoint_addresses_ipv4.get("172.17.0.1")).toBeUndefined();
    await applier.apply(planOf([one, two]));
    expect(maps.endpoints.get(0)?.generation).toBe(3);
  });

  it("finds what an earlier daemon left beyond its own slots", async () => {
    const first = scene();
    await first.applier.apply(planOf([one, two, endpoint(3)]));
    const heir = new Applier(first.maps, first.attachments, () => {}, { debug() {} } as unknown as Logger);
    const result = await heir.apply(planOf([endpoint(3)]));
    expect(result.changes.gone.map((g) => g.slot)).toEqual([0, 1]);
    expect(result.placed.map((p) => [p.slot, p.fresh])).toEqual([[2, false]]);
  });
});
