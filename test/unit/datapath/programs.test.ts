/**
 * The loaded datapath over a restart, with the real kernel: what is pinned is used on only if every byte of it means what it
 * did.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Logger } from "pino";
import { expect, onTestFinished, test, vi } from "vitest";
import { Datapath } from "../../../src/datapath/datapath.js";
import { familyMaps } from "../../../src/datapath/families.js";
import { isMisfit, kernelConstants } from "../../../src/datapath/object.js";
import { Pins } from "../../../src/datapath/pins.js";
import {
  FLOW_TICK_SHIFT,
  type Flow,
  FlowState,
  layoutHash,
  mapDefinitions,
  SLOT_OUTSIDE,
} from "../../../src/generated/index.js";
import { TIMEOUT_DEFAULTS } from "../../../src/host/sysctl.js";
import { BpfMap, BpfObject, BpfProgram, nsPerJiffy, tcxPrograms } from "../../../src/native/index.js";
import { bpffs, closing, compile, enterNewNamespace, ifindexOf, run } from "../native/support.js";
import { dual, ip, planOf, port } from "./scene.js";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

function scene() {
  enterNewNamespace();
  const stateDir = mkdtempSync(join(tmpdir(), "fwn-"));
  onTestFinished(() => rmSync(stateDir, { recursive: true }));
  const root = join(bpffs(), "fairway");
  const warnings: string[] = [];
  const log = {
    ...quiet,
    warn: (_: unknown, message: string) => warnings.push(message),
  } as unknown as Logger;
  const state = join(stateDir, "state.json");
  return {
    warnings,
    pins: new Pins(root),
    saved: () => JSON.parse(readFileSync(state, "utf8")) as Record<string, unknown>,
    save: (value: Record<string, unknown>) => writeFileSync(state, JSON.stringify(value)),
    open: (flowsMax = 4096, timeouts = TIMEOUT_DEFAULTS) =>
      Datapath.open({ bpffs: root, stateDir, flowsMax, timeouts, log }),
  };
}

/** Two real devices, an uplink and an endpoint's. */
function devices() {
  run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0p");
  run("ip", "link", "add", "veth1", "type", "veth", "peer", "name", "veth1p");
  const container = dual(1, { ifindex: ifindexOf("veth1") });
  const uplink = { name: "eth0", mtu: 1500, l3: false, addresses: [], ipv6: undefined };
  return planOf([container], {
    ports: [port(container, 80), port(container, 80, { address: "::", containerAddress: "2001:db8:17::1" })],
    uplinks: [{ ...uplink, ifindex: ifindexOf("eth0") }],
  });
}

test("is used on by the same version, and taken away by one of another layout", async () => {
  const { open, saved, save, warnings } = scene();
  const plan = devices();
  const first = open();
  expect(first.adopted).toBe(false);
  expect(saved()).toMatchObject({ layout: layoutHash });
  const applied = await first.apply(plan);
  expect(applied.warnings).toEqual([]);
  first.close();

  const second = open();
  expect(second.adopted).toBe(true);
  expect(await second.apply(plan)).toMatchObject({ added: 0, removed: 0 });
  second.close();
  expect(warnings).toEqual([]);

  save({ ...saved(), layout: "0123456789abcdef" });
  const third = open();
  expect(third.adopted).toBe(false);
  expect(warnings.join()).toMatch(/starting afresh/);
  expect(saved()).toMatchObject({ layout: layoutHash });
  expect((await third.apply(plan)).added).toBe(applied.added);
  third.close();

  // Nobody knows who pinned it.
  const { layout: _, ...rest } = saved();
  save(rest);
  const fourth = open();
  expect(fourth.adopted).toBe(false);
  fourth.close();
}, 60_000);

test("keeps the endpoints over a flow table of another size, and counts anew", async () => {
  const { open } = scene();
  const plan = devices();
  const first = open(4096);
  await first.apply(plan);
  first.sweep();
  expect(first.reader.flows()).toMatchObject({ entries: 0, maxEntries: 8192, inserted: 0, evicted: 0 });
  first.close();
  const second = open(8192);
  expect(second.adopted).toBe(true);
  expect(await second.apply(plan)).toMatchObject({ added: 0, removed: 0 });
  second.sweep();
  expect(second.reader.flows()).toMatchObject({ entries: 0, maxEntries: 16_384, evicted: 0 });
  second.close();
}, 60_000);

test("voids the flows twice when a policy gets stricter: at once, and for what was judged before and is learned after it", async () => {
  const { open, pins } = scene();
  const plan = devices();
  const datapath = open();
  await datapath.apply(plan);
  const control = closing(BpfMap.openPinned(pins.map("control")));
  const { key, value } = mapDefinitions.control;
  const epoch = () => value.decode(control.get(key.encode(0)) ?? Buffer.alloc(value.size)).epoch;
  const before = epoch();
  const deny = [{ address: "192.0.2.0", prefixLength: 24 }];
  await datapath.apply({ ...plan, policy: { ...plan.policy, sources: { allow: [], deny } } });
  expect(epoch()).toBeGreaterThan(before);
  await vi.waitFor(() => expect(epoch()).toBe(before + 2), { timeout: 10_000 });
  datapath.close();
  expect(epoch()).toBe(before + 2);
}, 60_000);

/** The time by which the programs date flow entries (bpf/lib/clock.h), in ticks. */
function flowClock(): number {
  const jiffies = /^jiffies: (\d+)$/m.exec(readFileSync("/proc/timer_list", "utf8"))?.[1] ?? "";
  return Number(BigInt.asUintN(32, (BigInt(jiffies) * BigInt(nsPerJiffy())) >> BigInt(FLOW_TICK_SHIFT)));
}

test("has idle and void flows of both families swept out by the kernel, and the others counted", async () => {
  const { open, pins } = scene();
  // Shorter than the kernel's: no entry can be older than the machine, which may just have started.
  const short = { tcpSynSent: 12, tcpSynRecv: 6, tcpFinWait: 12, tcpClose: 1, udp: 3, udpStream: 12 };
  const datapath = open(undefined, { ...TIMEOUT_DEFAULTS, ...short });
  const epoch = datapath.bumpEpoch();
  const now = flowClock();
  const outside = { fromSlot: SLOT_OUTSIDE, toSlot: SLOT_OUTSIDE };
  const ago = (seconds: number) => (now - (seconds * 1e9) / 2 ** FLOW_TICK_SHIFT) >>> 0;
  for (const family of [4, 6] as const) {
    const name = familyMaps.flows[family];
    const map = closing(BpfMap.openPinned(pins.map(name)));
    const { key, value } = mapDefinitions[name];
    const end = family === 4 ? (n: number) => `198.18.0.${n}` : (n: number) => `2001:db8::${n}`;
    const put = (n: number, proto: number, flow: Partial<Flow>) => {
      const empty = value.decode(Buffer.alloc(value.size));
      const entry = {
        ...empty,
        flow: { ...empty.flow, epoch, lastSeen: now, created: ago(60), ...outside, ...flow },
      };
      map.set(
        key.encode({ ifindex: 1, saddr: end(n), daddr: end(200), sport: n, dport: 80, proto }),
        value.encode(entry),
      );
    };

    put(1, 6, {});
    put(2, 6, { lastSeen: ago(18), state: FlowState.ESTABLISHED });
    put(3, 17, { lastSeen: ago(10) });
    // Never answered, half closed, too short for a stream.
    put(8, 6, { lastSeen: ago(18), state: FlowState.NEW });
    put(9, 6, { lastSeen: ago(18), state: FlowState.CLOSING });
    put(10, 17, { lastSeen: ago(9), created: ago(10) });
    // Idle, closed, of an epoch before, and of an endpoint that is gone.
    put(4, 17, { lastSeen: ago(18) });
    put(5, 6, { lastSeen: ago(7), state: FlowState.CLOSED });
    put(6, 6, { epoch: epoch - 1 });
    put(7, 6, { toSlot: 3, toGeneration: 9 });
  }
  datapath.sweep();
  expect(datapath.reader.flows()).toMatchObject({ entries: 6, evicted: 0 });
  const byName = new Map(datapath.reader.maps().map((m) => [m.map, m.entries]));
  expect([byName.get("flows_ipv4"), byName.get("flows_ipv6")]).toEqual([3, 3]);
  datapath.close();
}, 60_000);

test("goes where there is no Ethernet header, and says who sees packets after it", async () => {
  const { open } = scene();
  const plan = devices();
  run("ip", "tuntap", "add", "tun0", "mode", "tun");
  const [eth0] = plan.uplinks;
  const tun0 = {
    ifindex: ifindexOf("tun0"),
    name: "tun0",
    mtu: 1500,
    l3: true,
    addresses: [],
    ipv6: undefined,
  };
  const datapath = open();
  const [container] = plan.endpoints;
  const one = container === undefined ? [] : [{ ...container, ip: ip("172.17.0.1") }];
  const both = { ...plan, endpoints: one, ports: [], uplinks: [eth0, tun0].filter((u) => u !== undefined) };
  expect((await datapath.apply(both)).warnings).toEqual([]);
  const at = (direction: "ingress" | "egress") =>
    tcxPrograms({ ifindex: tun0.ifindex, direction }).map((id) => closing(BpfProgram.openById(id)).info.name);
  // The kernel keeps 15 characters.
  expect([at("ingress"), at("egress")]).toEqual([["uplink_ingress_"], ["uplink_egress_l"]]);
  expect(await datapath.apply(both)).toMatchObject({ added: 0, removed: 0 });
  const sample = closing(BpfObject.open(compile("sample"), "sample"));
  sample.load();
  const other = closing(sample.program("tcx_two"));
  closing(other.attachTcx({ ifindex: tun0.ifindex, direction: "ingress" }));
  expect((await datapath.apply(both)).warnings).toEqual([]);
  closing(other.attachTcx({ ifindex: tun0.ifindex, direction: "egress" }));
  expect((await datapath.apply(both)).warnings).toMatchObject([
    {
      code: "uplink_program_after",
      message: expect.stringContaining(`tun0: the program tcx_two (id ${other.info.id})`),
    },
  ]);
  datapath.close();
}, 60_000);

test.each([
  ["6.1.0-18-amd64", 0, 0, 0],
  ["6.2.1", 1, 0, 0],
  ["6.9.12", 1, 0, 0],
  ["6.10.0-rc1", 1, 32, 0],
  ["6.16.3-cloud", 1, 32, 128],
  ["7.0.1", 1, 32, 128],
])("a kernel %s is asked for no more than it knows", (kernel, context, mark, ipv6) => {
  expect(kernelConstants(kernel)).toEqual({
    has_kernel_context: context,
    fib_mark_flag: mark,
    ipv6_checksum_flag: ipv6,
  });
});

test("a kernel whose conntrack functions don't fit each other is told from one that lacks them", () => {
  const refused =
    "load program parent_egress: Invalid argument (EINVAL): kernel function bpf_ct_set_nat_info R1 expected pointer to STRUCT nf_conn___init but R1 has a pointer to STRUCT nf_conn___init";
  expect(isMisfit(new Error(refused))).toBe(true);
  expect(isMisfit(new Error(`the kernel lacks conntrack functions for BPF programs (${refused})`))).toBe(
    true,
  );
  expect(isMisfit(new Error("calling invalid kernel function bpf_ct_set_nat_info"))).toBe(false);
  expect(isMisfit(new Error("Permission denied (EACCES)"))).toBe(false);
});
