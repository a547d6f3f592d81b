import { describe, expect, test } from "vitest";
import { Direction, SLOT_NONE, Verdict } from "../../src/generated/types.js";
import { slot, useDatapath } from "./lib/datapath.js";
import { FamilyDatapath, onBothFamilies } from "./lib/family.js";
import { mac } from "./lib/host.js";
import { tcpFlag } from "./lib/packet.js";

const datapath = useDatapath();
const { syn, ack } = tcpFlag;
const nothing = { packets: 0, bytes: 0 };

onBothFamilies("packets and bytes of an endpoint", datapath, (on) => {
  /** Of IP and TCP. */
  const headers = on.headerLength + 20;

  test("bytes are the IP packet's, both directions on the fast path", () => {
    on.fromOutside({ flags: syn });
    on.fromWeb(on.reply({ flags: syn | ack, payload: Buffer.alloc(7) }));
    const { receive, transmit } = datapath.counters(slot.web);
    expect(receive).toEqual({ fast: { packets: 1, bytes: headers }, slow: nothing });
    expect(transmit).toEqual({ fast: { packets: 1, bytes: headers + 7 }, slow: nothing });
  });

  test("a GSO packet counts as its segments, each with its headers", () => {
    on.fromOutside({ flags: syn });
    const payload = Buffer.alloc(3000);
    on.fromOutside({ flags: ack, payload }, { gso: { segments: 3, size: 1000 } });
    const bytes = headers + 3 * (headers + 1000);
    expect(datapath.counters(slot.web).receive.fast).toEqual({ packets: 4, bytes });
  });

  test("a GSO packet with TCP options counts them in every segment", () => {
    on.fromWeb({ flags: syn });
    const tcpOptions = Buffer.from("0101080a0000000100000000", "hex");
    on.fromWeb({ flags: ack, tcpOptions, payload: Buffer.alloc(2500) }, { gso: { segments: 3, size: 1000 } });
    const bytes = headers + 3 * (headers + 12) + 2500;
    expect(datapath.counters(slot.web).transmit.fast).toEqual({ packets: 4, bytes });
  });

  test("a bridged GSO packet counts as its segments, for both", () => {
    const toDb = { destinationMac: mac.db, destination: on.address.db };
    on.fromWeb({ ...toDb, payload: Buffer.alloc(2000) }, { gso: { segments: 2, size: 1000 } });
    const traffic = { packets: 2, bytes: 2 * (headers + 1000) };
    expect(datapath.counters(slot.web).transmit.fast).toEqual(traffic);
    expect(datapath.counters(slot.db).receive.fast).toEqual(traffic);
  });

  test("a bridged GSO packet of UDP does too", () => {
    const toDb = { protocol: "udp", destinationMac: mac.db, destination: on.address.db } as const;
    on.fromWeb({ ...toDb, payload: Buffer.alloc(2000) }, { gso: { segments: 2, size: 1000 } });
    const traffic = { packets: 2, bytes: 2 * (on.headerLength + 8 + 1000) };
    expect(datapath.counters(slot.db).receive.fast).toEqual(traffic);
  });

  test("what the kernel forwards for the container counts as slow, with its reason", () => {
    on.fromWeb({ protocol: "icmp", payload: Buffer.alloc(56) });
    expect(datapath.counters(slot.web).transmit).toEqual({
      fast: nothing,
      slow: { packets: 1, bytes: on.headerLength + 64 },
    });
    expect(datapath.reasons()).toEqual({ not_tcp_udp: 1 });
  });

  test("what the kernel delivers to the container counts as slow, a GSO packet as its segments", () => {
    on.toWeb({ payload: Buffer.alloc(10) });
    expect(datapath.counters(slot.web).receive.slow).toEqual({ packets: 1, bytes: headers + 10 });
    on.toWeb({ payload: Buffer.alloc(2000) }, { gso: { segments: 2, size: 1000 } });
    expect(datapath.counters(slot.web).receive.slow).toEqual({
      packets: 3,
      bytes: headers + 10 + 2 * (headers + 1000),
    });
    expect(datapath.counters(slot.web).receive.fast).toEqual(nothing);
  });

  test("no packet counts twice: what is left to the kernel from outside counts where it is delivered", () => {
    on.fromOutside({ flags: syn, source: on.address.unheard });
    expect(datapath.reasons()).toEqual({ no_neighbour: 1 });
    expect(datapath.counters(slot.web).receive).toEqual({ fast: nothing, slow: nothing });
  });

  test("a reason names the endpoint and the direction", () => {
    on.fromOutside({ flags: ack });
    on.fromWeb({ flags: ack });
    datapath.remove("endpoint_devices", datapath.device.db0);
    on.fromDb({ flags: syn });
    const keys = datapath.reasonEntries().map(({ key, packets }) => [key.slot, key.direction, packets]);
    expect(keys.sort()).toEqual(
      [
        [slot.web, Direction.RECEIVE, 1],
        [slot.web, Direction.TRANSMIT, 1],
        [SLOT_NONE, Direction.TRANSMIT, 1],
      ].sort(),
    );
    expect(datapath.reasonEntries().every(({ key }) => key.verdict === Verdict.SLOW)).toBe(true);
  });

  test("the host's own traffic is counted nowhere", () => {
    on.fromOutside({ flags: syn, destinationPort: 22 });
    on.toOutside({ sourcePort: 22 }, { arrivedBy: null });
    expect(datapath.counters(slot.web)).toEqual({
      receive: { fast: nothing, slow: nothing },
      transmit: { fast: nothing, slow: nothing },
    });
    expect(datapath.reasonEntries()).toEqual([]);
  });
});

onBothFamilies("what became of flow entries", datapath, (on) => {
  test("two are inserted with a connection, in its own family", () => {
    on.fromOutside({ flags: syn });
    expect(datapath.flowTableCounters(on.family)).toEqual({ inserted: 2, deleted: 0 });
    expect(datapath.flowTableCounters(on.family === 4 ? 6 : 4)).toEqual({ inserted: 0, deleted: 0 });
  });

  test("a closed connection's two are deleted with its last packet", () => {
    on.handshake();
    on.fromOutside({ flags: tcpFlag.rst });
    expect(datapath.flowTableCounters(on.family)).toEqual({ inserted: 2, deleted: 2 });
    expect(on.flows()).toHaveLength(0);
  });

  test("one that is void counts as deleted, and what is restored as inserted", () => {
    on.handshake();
    datapath.write("control", 0, { epoch: 2, nextGeneration: 1, policy: 0 });
    on.fromOutside({ flags: ack });
    // The answer's void entry was written over.
    expect(datapath.flowTableCounters(on.family)).toEqual({ inserted: 3, deleted: 1 });
    expect(on.flows()).toHaveLength(2);
  });

  test("inserted less deleted is what is there", () => {
    for (let port = 1; port <= 20; port += 1) on.fromOutside({ flags: syn, sourcePort: 40000 + port });
    const { inserted, deleted } = datapath.flowTableCounters(on.family);
    expect(inserted - deleted).toBe(on.flows().length);
    expect(inserted).toBe(40);
  });
});

describe("the families share an endpoint's counters", () => {
  test("IPv4 and IPv6 add up", () => {
    const [ipv4, ipv6] = [new FamilyDatapath(datapath, 4), new FamilyDatapath(datapath, 6)];
    ipv4.fromWeb({ flags: syn });
    ipv6.fromWeb({ flags: syn });
    expect(datapath.counters(slot.web).transmit.fast).toEqual({ packets: 2, bytes: 40 + 60 });
  });
});
