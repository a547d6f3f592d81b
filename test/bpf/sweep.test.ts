import { describe, expect, test } from "vitest";
import { type Control, FlowOrigin, FlowState } from "../../src/generated/types.js";
import type { Family } from "../../src/ip.js";
import { trackByKernel } from "./lib/conntrack.js";
import { published, slot, useDatapath } from "./lib/datapath.js";
import { FamilyDatapath, onBothFamilies, secondsBefore } from "./lib/family.js";
import { protocolNumber, tcpFlag } from "./lib/packet.js";

const datapath = useDatapath();
const { device } = datapath;
const second = 1_000_000_000n;

/** Per family, as struct flow_sweep counts. */
function inFamily(family: Family, count: number): bigint[] {
  return family === 4 ? [BigInt(count), 0n] : [0n, BigInt(count)];
}

onBothFamilies("the sweep of the flow table", datapath, (on) => {
  const entries = (count: number): bigint[] => inFamily(on.family, count);
  const protocols = (): number[] => on.flows().map(({ key }) => key.proto);

  /** One connection of each protocol, the entries of both idle for so long. */
  function idleFor(seconds: number): void {
    on.handshake();
    on.fromOutside({ protocol: "udp", destinationPort: published.udp });
    for (const { key, flow } of on.flows()) {
      on.changeFlow(key, {
        created: secondsBefore(flow.created, seconds),
        lastSeen: secondsBefore(flow.lastSeen, seconds),
      });
    }
  }

  test("without limits it counts, and deletes none", () => {
    idleFor(60);
    expect(datapath.sweep()).toMatchObject({
      entries: entries(4),
      deleted: [0n, 0n],
      voidEntries: [0n, 0n],
    });
    expect(on.flows()).toHaveLength(4);
    expect(datapath.flowTableCounters(on.family).deleted).toBe(0);
  });

  test.each([
    ["tcp", protocolNumber.udp],
    ["udp", protocolNumber.tcp],
  ] as const)("a limit for %s takes that protocol's idle entries", (protocol, left) => {
    idleFor(60);
    expect(datapath.sweep({ [protocol]: 50n * second })).toMatchObject({
      entries: entries(2),
      deleted: entries(2),
      voidEntries: [0n, 0n],
    });
    expect(protocols()).toEqual([left, left]);
    expect(datapath.flowTableCounters(on.family).deleted).toBe(2);
  });

  test("those that are not idle for long enough stay", () => {
    idleFor(60);
    const limit = 100n * second;
    expect(datapath.sweep({ tcp: limit, udp: limit, closed: limit })).toMatchObject({
      entries: entries(4),
      deleted: [0n, 0n],
    });
  });

  test("so do those that were seen after the sweep began", () => {
    idleFor(-60);
    expect(datapath.sweep({ tcp: 1n, udp: 1n, closed: 1n })).toMatchObject({ entries: entries(4) });
  });

  test("each entry is idle by itself: the answer's may stay", () => {
    on.handshake();
    const [first] = on.flows();
    if (first === undefined) throw new Error("no flows");
    on.changeFlow(first.key, { lastSeen: secondsBefore(first.flow.lastSeen, 60) });
    datapath.sweep({ tcp: 50n * second });
    expect(on.flows()).toHaveLength(1);
    expect(on.flows()[0]?.key).not.toEqual(first.key);
  });

  test.each([
    ["opening", FlowState.NEW],
    ["closing", FlowState.CLOSING],
    ["closed", FlowState.CLOSED],
  ] as const)("TCP that is %s has a limit of its own, and only that", (limit, state) => {
    idleFor(60);
    for (const { key } of on.flows()) {
      if (key.proto === protocolNumber.tcp) on.changeFlow(key, { state });
    }
    const others = { tcp: 1n, opening: 1n, closing: 1n, closed: 1n, stream: 1n, [limit]: 0n };
    expect(datapath.sweep(others)).toMatchObject({ entries: entries(4), deleted: [0n, 0n] });
    expect(datapath.sweep({ [limit]: 50n * second })).toMatchObject({
      entries: entries(2),
      deleted: entries(2),
      voidEntries: [0n, 0n],
    });
    expect(protocols()).toEqual([protocolNumber.udp, protocolNumber.udp]);
  });

  test("so has UDP that has lived for as long as a stream", () => {
    idleFor(60);
    for (const { key, flow } of on.flows()) on.changeFlow(key, { created: secondsBefore(flow.created, 3) });
    expect(datapath.sweep({ udp: 1n })).toMatchObject({ entries: entries(4) });
    expect(datapath.sweep({ stream: 50n * second })).toMatchObject({
      entries: entries(2),
      deleted: entries(2),
    });
    expect(protocols()).toEqual([protocolNumber.tcp, protocolNumber.tcp]);
  });

  test("another epoch's are void, whatever the limits", () => {
    idleFor(0);
    const record = datapath.read<Control>("control", 0);
    datapath.write("control", 0, { ...record, epoch: record.epoch + 1 });
    expect(datapath.sweep()).toMatchObject({
      entries: [0n, 0n],
      deleted: entries(4),
      voidEntries: entries(4),
    });
    expect(on.flows()).toEqual([]);
    expect(datapath.flowTableCounters(on.family)).toEqual({ inserted: 4, deleted: 4 });
  });

  test("what was learned before a time is void, what was made or learned since is not", () => {
    idleFor(60);
    const now = process.hrtime.bigint();
    for (const { key } of on.flows())
      if (key.proto === protocolNumber.udp) on.changeFlow(key, { origin: FlowOrigin.LEARNED });
    expect(datapath.sweep({ learnedBefore: now - 70n * second })).toMatchObject({ entries: entries(4) });
    expect(datapath.sweep({ learnedBefore: now - 50n * second })).toMatchObject({
      entries: entries(2),
      deleted: entries(2),
      voidEntries: entries(2),
    });
    expect(protocols()).toEqual([protocolNumber.tcp, protocolNumber.tcp]);
  });

  test("void and idle together count once", () => {
    idleFor(60);
    datapath.clearSlot(slot.web);
    expect(datapath.sweep({ tcp: 1n, udp: 1n })).toMatchObject({
      deleted: entries(4),
      voidEntries: entries(4),
    });
  });

  test.each([
    ["gone", () => datapath.clearSlot(slot.web)],
    ["another", () => datapath.putEndpoint(slot.web)],
  ])("those from and to an endpoint that is %s are void, others are not", (_name, change) => {
    on.handshake();
    on.fromDb({ flags: tcpFlag.syn });
    change();
    expect(datapath.sweep()).toMatchObject({
      entries: entries(2),
      deleted: entries(2),
      voidEntries: entries(2),
    });
    expect(on.flows().map(({ flow }) => Math.min(flow.fromSlot, flow.toSlot))).toEqual([slot.db, slot.db]);
  });

  test.each([
    ["sends", "web0"],
    ["receives", "db0"],
  ] as const)("a hairpin is void by the end that %s alone", (_name, gone) => {
    trackByKernel({
      protocol: "tcp",
      from: { address: on.address.web, port: 50000 },
      to: { address: on.address.host, port: published.tcp },
      fromAs: { address: on.address.gateway, port: 61000 },
      toAs: { address: on.address.db, port: 80 },
    });
    on.toDb({ source: on.address.gateway, sourcePort: 61000 }, { arrivedBy: "br-app" });
    expect(on.flowFrom(device.web0)).toMatchObject({ fromSlot: slot.web, toSlot: slot.db });
    expect(datapath.sweep()).toMatchObject({ entries: entries(1) });
    datapath.clearSlot(gone === "web0" ? slot.web : slot.db);
    expect(datapath.sweep()).toMatchObject({ entries: [0n, 0n], voidEntries: entries(1) });
  });

  test("conntrack's entries are not touched", () => {
    idleFor(60);
    datapath.sweep({ tcp: 1n, udp: 1n });
    expect(on.conntrack()).toHaveLength(2);
    expect(on.fromOutside({ flags: tcpFlag.ack }).verdict).toBe("redirect");
  });

  test("a table of many is swept whole", () => {
    for (let port = 0; port < 500; port += 1)
      on.fromOutside({ flags: tcpFlag.syn, sourcePort: 10_000 + port });
    for (const { key, flow } of on.flows()) {
      if (key.ifindex === device.uplink0) on.changeFlow(key, { lastSeen: secondsBefore(flow.lastSeen, 60) });
    }
    expect(datapath.sweep({ opening: 50n * second })).toMatchObject({
      entries: entries(500),
      deleted: entries(500),
    });
    expect(on.flows().every(({ key }) => key.ifindex === device.web0)).toBe(true);
  });
});

describe("the sweep counts the families apart", () => {
  test("entries, deleted and void ones", () => {
    const [ipv4, ipv6] = [new FamilyDatapath(datapath, 4), new FamilyDatapath(datapath, 6)];
    ipv4.handshake();
    ipv6.handshake();
    ipv6.fromDb({ flags: tcpFlag.syn });
    expect(datapath.sweep()).toMatchObject({ entries: [2n, 4n] });
    for (const { key, flow } of ipv4.flows())
      ipv4.changeFlow(key, { lastSeen: secondsBefore(flow.lastSeen, 1) });
    datapath.clearSlot(slot.db);
    expect(datapath.sweep({ tcp: second / 2n, udp: 0n })).toMatchObject({
      entries: [0n, 2n],
      deleted: [2n, 2n],
      voidEntries: [0n, 2n],
    });
  });
});
