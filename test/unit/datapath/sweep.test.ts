import { describe, expect, it } from "vitest";
import { type FlowValidity, isOver, Sweep } from "../../../src/datapath/sweep.js";
import { type Flow, FlowState } from "../../../src/generated/index.js";
import type { ConntrackTimeouts } from "../../../src/host/state.js";
import { fakeMaps } from "./scene.js";

const S = 1_000_000_000n;
const now = 1_000_000n * S;
const timeouts: ConntrackTimeouts = {
  tcpEstablished: 432000,
  tcpSynSent: 120,
  tcpSynRecv: 60,
  tcpFinWait: 120,
  tcpClose: 10,
  udp: 30,
  udpStream: 120,
};
const valid: FlowValidity = { epoch: 7, generations: new Map([[3, 11]]) };

function flow(idleSeconds: number, change: Partial<Flow> = {}): Flow {
  const lastSeen = now - BigInt(idleSeconds) * S;
  return {
    lastSeen,
    conntrackSynced: lastSeen,
    created: lastSeen - 100n * S,
    epoch: 7,
    generation: 11,
    slot: 3,
    ifindex: 1,
    saddr: 1,
    daddr: 2,
    sport: 3,
    dport: 4,
    nextHop: 0,
    mtu: 1500,
    direction: 0,
    flowDirection: 0,
    state: FlowState.ESTABLISHED,
    anchored: 1,
    finSeen: 0,
    ...change,
  };
}

const over = (proto: number, f: Flow) => isOver({ proto }, f, now, timeouts, valid);

describe("isOver", () => {
  it.each([
    ["TCP established", 6, FlowState.ESTABLISHED, 432000],
    ["TCP handshake", 6, FlowState.NEW, 120],
    ["TCP after a FIN", 6, FlowState.CLOSING, 120],
    ["TCP closed", 6, FlowState.CLOSED, 10],
    ["UDP stream", 17, FlowState.ESTABLISHED, 120],
    ["UDP one way", 17, FlowState.NEW, 30],
  ])("%s: idle for its timeout and a grace", (_what, proto, state, seconds) => {
    expect(over(proto, flow(seconds, { state }))).toBe(false);
    expect(over(proto, flow(seconds + 10, { state }))).toBe(true);
  });

  it("holds a UDP exchange of moments for no longer than conntrack does", () => {
    const young = flow(40);
    young.created = young.lastSeen - S;
    expect(over(17, young)).toBe(true);
  });

  it("lets go at once what is void for good", () => {
    expect(over(6, flow(0))).toBe(false);
    expect(over(6, flow(0, { epoch: 6 }))).toBe(true);
    expect(over(6, flow(0, { generation: 12 }))).toBe(true);
    expect(over(6, flow(0, { slot: 4 }))).toBe(true);
  });

  it("is not confused by an entry that is newer than the clock was read", () => {
    expect(over(6, flow(-1))).toBe(false);
  });
});

describe("Sweep", () => {
  function table(count: number, idle: (i: number) => number) {
    const { maps, fake } = fakeMaps();
    for (let i = 0; i < count; i++) {
      maps.flows.set({ ifindex: 1, saddr: i, daddr: 2, sport: 3, dport: 4, proto: 17 }, flow(idle(i)));
    }
    return fake("flows");
  }

  it("deletes what is over and counts what stays", () => {
    const flows = table(100, (i) => (i < 30 ? 500 : 1));
    const sweep = new Sweep(flows, timeouts);
    expect(sweep.countedAt).toBe(0);
    expect(sweep.tick(valid, now)).toBe(true);
    expect(flows.entriesByKey.size).toBe(70);
    expect(sweep).toMatchObject({ entries: 70, deleted: 30 });
    expect(sweep.countedAt).toBeGreaterThan(0);
  });

  it("does a bounded piece of a big table in one tick", () => {
    const sweep = new Sweep(
      table(5000, () => 1),
      timeouts,
      { entriesPerTick: 2048, msPerTick: 1000 },
    );
    const ends = [
      sweep.tick(valid, now),
      sweep.tick(valid, now),
      sweep.tick(valid, now),
      sweep.tick(valid, now),
    ];
    expect(ends).toEqual([false, false, true, false]);
    expect(sweep.entries).toBe(5000);
  });
});
