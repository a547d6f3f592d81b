import type { Logger } from "pino";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { Applier } from "../../../src/datapath/apply.js";
import { deleteConnectionsOf, deleteStaleUdp } from "../../../src/datapath/conntrack.js";
import type { Attachment, Attachments } from "../../../src/datapath/links.js";
import { endpointCountersCodec } from "../../../src/generated/index.js";
import { formatIpv4 } from "../../../src/ipv4.js";
import { endpoint, fakeMaps, planOf, port } from "./scene.js";

vi.mock("../../../src/datapath/conntrack.js", () => ({
  deleteConnectionsOf: vi.fn(() => 0),
  deleteStaleUdp: vi.fn(() => 0),
}));
vi.mock("../../../src/datapath/links.js", () => ({}));

class FakeAttachments implements Attachments {
  readonly mode = "tcx";
  readonly attached = new Map<string, Attachment>();
  readonly missing = new Set<number>();
  constructor(readonly journal: string[]) {}
  list(): Attachment[] {
    return [...this.attached.values()];
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
  const log = { debug() {}, info() {}, error() {}, warn: (_o: unknown, m: string) => warnings.push(m) };
  return {
    maps,
    journal,
    fake,
    attachments,
    warnings,
    applier: new Applier(maps, attachments, log as unknown as Logger),
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
      "uplink_ingress-2",
    ]);
    expect(maps.control.get(0)).toEqual({ epoch: 0, nextGeneration: 3 });
    expect(maps.endpoint_devices.get(102)).toEqual({ slot: 1, generation: 2 });
    // 2 endpoints with device, address and fdb each, 1 port, 1 host address, 1 uplink, 5 attachments.
    expect(result).toMatchObject({ added: 2 + 6 + 3 + 5, removed: 0 });
  });

  it("does nothing the second time", async () => {
    const { applier, journal } = scene();
    const plan = planOf([one, two], { ports: [port(one, 8080)] });
    await applier.apply(plan);
    journal.length = 0;
    expect(await applier.apply(plan)).toMatchObject({ added: 0, removed: 0 });
    expect(journal).toEqual([]);
  });

  it("removes before it adds: the slot first, then what points to it, then the connections", async () => {
    const { applier, journal } = scene();
    await applier.apply(planOf([one], { ports: [port(one, 8080)] }));
    journal.length = 0;
    vi.mocked(deleteConnectionsOf).mockImplementation((addresses) => {
      journal.push(`forget ${[...addresses].join()}`);
      return 1;
    });
    // The address goes to another container at once.
    const heir = endpoint(2, { address: one.address });
    await applier.apply(planOf([heir], { ports: [port(heir, 8080)] }));
    const order = [
      "clear endpoints",
      "delete endpoint_devices",
      "delete fdb",
      `forget ${formatIpv4(one.address)}`,
      "detach endpoint_ingress-101",
      "set control",
      "set endpoint_counters",
      "set endpoints",
      "set endpoint_devices",
      "set endpoint_addresses",
      "set ports",
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

  it("leaves out what a full map has no room for, counts it, says so once, and goes on", async () => {
    const { applier, warnings, maps, fake } = scene({ ports: 2 });
    const plan = planOf([one], { ports: [80, 81, 82, 83].map((n) => port(one, n)) });
    await applier.apply(plan);
    await applier.apply(plan);
    expect(fake("ports").entriesByKey.size).toBe(2);
    expect(applier.failedWrites("ports")).toBe(4);
    expect(applier.failedWrites("fdb")).toBe(0);
    expect(warnings).toEqual(["map is full: 2 entries stay on the slow path"]);
    // What comes after it in the same pass is written all the same.
    expect(maps.uplinks.get(2)).toBeDefined();

    await applier.apply(planOf([one], { ports: [port(one, 82)] }));
    expect([...maps.ports.entries()].map((e) => e.key.port)).toEqual([82]);
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
        port(one, 54, { proto: "udp", address: 0xc6120009 }),
        port(one, 55),
      ],
    });
    await applier.apply(plan);
    const containerAddress = formatIpv4(one.address);
    expect(vi.mocked(deleteStaleUdp).mock.calls[0]?.[0]).toEqual([
      { addresses: new Set(["198.18.0.5"]), port: 53, containerAddress },
      { addresses: new Set(["198.18.0.9"]), port: 54, containerAddress },
    ]);
    await applier.apply(plan);
    expect(vi.mocked(deleteStaleUdp).mock.calls[1]?.[0]).toEqual([]);
  });

  it("takes an endpoint out at once when its device goes", async () => {
    const { applier, maps } = scene();
    await applier.apply(planOf([one, two]));
    expect(applier.forgetDevices(new Set([101, 555]))).toMatchObject([{ slot: 0 }]);
    expect(maps.endpoints.get(0)?.generation).toBe(0);
    expect(maps.endpoint_devices.get(101)).toBeUndefined();
    expect(maps.endpoint_devices.get(102)).toBeDefined();
    expect(deleteConnectionsOf).toHaveBeenCalledWith(new Set([formatIpv4(one.address)]), expect.anything());
    expect(applier.forgetDevices(new Set([101]))).toEqual([]);
    expect([...applier.generations()]).toEqual([[1, 2]]);

    // The next pass tidies up what still names it, and gives its slot a new generation.
    await applier.apply(planOf([two]));
    expect(maps.endpoint_addresses.get({ address: one.address })).toBeUndefined();
    await applier.apply(planOf([one, two]));
    expect(maps.endpoints.get(0)?.generation).toBe(3);
  });

  it("finds what an earlier daemon left beyond its own slots", async () => {
    const first = scene();
    await first.applier.apply(planOf([one, two, endpoint(3)]));
    const heir = new Applier(first.maps, first.attachments, { debug() {} } as unknown as Logger);
    const result = await heir.apply(planOf([endpoint(3)]));
    expect(result.changes.gone.map((g) => g.slot)).toEqual([0, 1]);
    expect(result.placed.map((p) => [p.slot, p.fresh])).toEqual([[2, false]]);
  });
});
