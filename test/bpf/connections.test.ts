import { describe, expect, test } from "vitest";
import {
  type ConnectionCounters,
  type Control,
  Direction,
  EndpointIpFlags,
  HandshakeBound,
  type Handshakes,
  PolicyFlags,
} from "../../src/generated/types.js";
import { ANY } from "../../src/ip.js";
import { published, slot, useDatapath } from "./lib/datapath.js";
import { FamilyDatapath, onBothFamilies } from "./lib/family.js";
import { mac } from "./lib/host.js";
import { protocolNumber, tcpFlag } from "./lib/packet.js";
import { OnParent } from "./lib/parent.js";

const datapath = useDatapath();
const { syn, ack, rst } = tcpFlag;
const { RECEIVE, TRANSMIT } = Direction;

/** What there is besides zeros. */
function counted(at: number): Record<string, number> {
  const { opened, ...others } = datapath.connections(at);
  const flat = (name: string, values: readonly bigint[]): [string, number][] =>
    values.map((value, direction) => [
      `${name} ${direction === RECEIVE ? "receive" : "transmit"}`,
      Number(value),
    ]);
  const all = [
    ...flat(
      "tcp",
      opened.map(([tcp = 0n]) => tcp),
    ),
    ...flat(
      "udp",
      opened.map(([, udp = 0n]) => udp),
    ),
    ...Object.entries(others as Omit<ConnectionCounters, "opened">).flatMap(([name, value]) =>
      Array.isArray(value) ? flat(name, value) : [[name, Number(value)] as [string, number]],
    ),
  ];
  return Object.fromEntries(all.filter(([, value]) => value !== 0));
}

/** Handshakes of all buckets. */
function total({ count }: Handshakes): number {
  return count.reduce((sum, of) => sum + Number(of), 0);
}

onBothFamilies("connections on the fast path", datapath, (on) => {
  const neighbour = { destinationMac: mac.db, destination: on.address.db };

  test("one from outside: opened, its SYN, and established by the ACK", () => {
    on.fromOutside({ flags: syn });
    expect(counted(slot.web)).toEqual({ "tcp receive": 1, "syn receive": 1 });
    on.fromWeb(on.reply({ flags: syn | ack }));
    expect(counted(slot.web)).toEqual({ "tcp receive": 1, "syn receive": 1 });
    on.fromOutside({ flags: ack });
    on.fromOutside({ flags: ack });
    expect(counted(slot.web)).toEqual({ "tcp receive": 1, "syn receive": 1, "established receive": 1 });
  });

  test("a SYN that is sent again opens nothing", () => {
    for (let count = 0; count < 3; count += 1) on.fromOutside({ flags: syn });
    expect(counted(slot.web)).toEqual({ "tcp receive": 1, "syn receive": 3 });
  });

  test("one to the outside, with its source port", () => {
    on.fromWeb({ flags: syn });
    on.fromOutside(on.answer({ flags: syn | ack }));
    on.fromWeb({ flags: ack });
    expect(counted(slot.web)).toEqual({
      "tcp transmit": 1,
      "syn transmit": 1,
      "established transmit": 1,
      snatAllocated: 1,
    });
  });

  test("another source port than the container's own, where that was taken", () => {
    on.fromWeb({ flags: syn });
    on.fromDb({ flags: syn });
    expect(counted(slot.web)).toMatchObject({ snatAllocated: 1 });
    expect(counted(slot.web)).not.toHaveProperty("snatRetried");
    expect(counted(slot.db)).toMatchObject({ snatAllocated: 1, snatRetried: 1 });
  });

  test("resets, by who sent them", () => {
    on.handshake();
    on.fromWeb(on.reply({ flags: rst | ack }));
    expect(counted(slot.web)).toMatchObject({ "rst transmit": 1 });
    on.fromOutside({ flags: syn, sourcePort: 40001 });
    on.fromOutside({ flags: rst, sourcePort: 40001 });
    expect(counted(slot.web)).toMatchObject({ "rst transmit": 1, "rst receive": 1, "tcp receive": 2 });
  });

  test("UDP's are those that were made", () => {
    for (let count = 0; count < 2; count += 1) {
      on.fromOutside({ protocol: "udp", destinationPort: published.udp });
      on.fromWeb({ protocol: "udp", destinationPort: 53 });
    }
    expect(counted(slot.web)).toEqual({ "udp receive": 1, "udp transmit": 1, snatAllocated: 1 });
  });

  test("one that is found in conntrack again was opened before", () => {
    on.handshake();
    on.forgetFlows();
    on.fromOutside({ flags: ack });
    expect(on.flows()).toHaveLength(2);
    expect(counted(slot.web)).toEqual({ "tcp receive": 1, "syn receive": 1, "established receive": 1 });
  });

  test("a tuple that is taken again is another connection", () => {
    on.fromOutside({ flags: syn });
    on.fromWeb(on.reply({ flags: rst | ack }));
    on.fromOutside({ flags: syn });
    expect(counted(slot.web)).toMatchObject({ "tcp receive": 2, "syn receive": 2 });
  });

  test("within a network, for both", () => {
    on.fromWeb({ flags: syn, ...neighbour });
    on.fromWeb({ flags: syn, ...neighbour });
    on.fromWeb({ flags: ack, ...neighbour });
    on.fromWeb({ flags: rst, ...neighbour });
    expect(counted(slot.web)).toEqual({ "tcp transmit": 1, "syn transmit": 2, "rst transmit": 1 });
    expect(counted(slot.db)).toEqual({ "tcp receive": 1, "syn receive": 2, "rst receive": 1 });
  });

  test("within a network the same tuple with another sequence number is another connection", () => {
    on.fromWeb({ flags: syn, sequence: 1, ...neighbour });
    on.fromWeb({ flags: syn, sequence: 2, ...neighbour });
    expect(counted(slot.db)).toEqual({ "tcp receive": 2, "syn receive": 2 });
  });

  test("nothing but TCP's SYN and RST is taken for them", () => {
    const payload = Buffer.alloc(40, 0xff);
    on.fromWeb({ protocol: "udp", payload, ...neighbour });
    on.fromWeb({ protocol: "icmp", payload, ...neighbour });
    on.fromWeb({ flags: ack, payload, ...neighbour });
    expect([counted(slot.web), counted(slot.db)]).toEqual([{}, {}]);
  });
});

onBothFamilies("connections on the slow path", datapath, (on) => {
  test("what the kernel delivers", () => {
    on.toWeb({ flags: syn });
    on.toWeb({ flags: syn });
    on.toWeb({ flags: ack });
    on.toWeb({ flags: rst });
    expect(counted(slot.web)).toEqual({ "tcp receive": 1, "syn receive": 2, "rst receive": 1 });
  });

  test("what it sends on for the container", () => {
    on.changeWeb({ flags: EndpointIpFlags.MASQUERADE | EndpointIpFlags.FILTERED });
    on.fromWeb({ flags: syn });
    on.fromWeb({ flags: rst });
    expect(datapath.reasons()).toMatchObject({ filtered: 1 });
    expect(counted(slot.web)).toEqual({ "tcp transmit": 1, "syn transmit": 1, "rst transmit": 1 });
  });
});

describe("connections with IPv4 options", () => {
  test("are the kernel's, and counted", () => {
    const on = new FamilyDatapath(datapath, 4);
    on.fromWeb({ flags: syn, ipOptions: Buffer.from([1, 1, 1, 0]) });
    expect(datapath.reasons()).toEqual({ ip_options: 1 });
    expect(counted(slot.web)).toEqual({ "tcp transmit": 1, "syn transmit": 1 });
  });
});

onBothFamilies("how long handshakes take", datapath, (on) => {
  test("from the SYN to the ACK, by network and who opened it", () => {
    on.handshake();
    const taken = datapath.handshakes("br-app", RECEIVE);
    expect(total(taken)).toBe(1);
    expect(Number(taken.sum)).toBeLessThan(10_000_000);
    expect(total(datapath.handshakes("br-app", TRANSMIT))).toBe(0);
  });

  test("each in its bucket, the first SYN's time counts", () => {
    const bounds = Object.values(HandshakeBound).filter((bound) => typeof bound === "number");
    const last = 2 * (bounds.at(-1) ?? 0);
    for (const [index, us] of [...bounds, last].entries()) {
      const port = 41_000 + index;
      on.fromOutside({ flags: syn, sourcePort: port });
      on.fromWeb(on.reply({ flags: syn | ack, destinationPort: port }));
      const entry = on.flows().find(({ key }) => key.sport === port);
      if (entry === undefined) throw new Error("no flow entry");
      // In the middle of the bucket: what this itself takes comes to it.
      const before = (us + (bounds[index - 1] ?? 0)) >>> 1;
      on.changeFlow(entry.key, { created: (entry.flow.created - before) >>> 0 });
      on.fromOutside({ flags: ack, sourcePort: port });
    }
    const taken = datapath.handshakes("br-app", RECEIVE);
    expect(total(taken)).toBe(bounds.length + 1);
    expect(taken.count.slice(-3)).toEqual([1n, 1n, 1n]);
  });

  test("no time is known of a connection that was restored meanwhile", () => {
    on.fromOutside({ flags: syn });
    on.fromWeb(on.reply({ flags: syn | ack }));
    on.forgetFlows();
    on.fromOutside({ flags: ack });
    expect(on.flows()).not.toHaveLength(0);
    expect(total(datapath.handshakes("br-app", RECEIVE))).toBe(0);
  });
});

onBothFamilies("open connections", datapath, (on) => {
  test("are counted by the sweep, once each, for who opened them", () => {
    on.handshake();
    on.fromOutside({ flags: syn, sourcePort: 40001 });
    on.fromWeb({ protocol: "udp", destinationPort: 53 });
    datapath.sweep();
    expect(datapath.openConnections(slot.web)).toMatchObject({
      open: [
        [2, 0],
        [0, 1],
      ],
      halfOpen: [1, 0],
    });
    expect(datapath.openConnections(slot.db)).toBeUndefined();
  });

  test("are forgotten by the next sweep", () => {
    on.handshake();
    datapath.sweep();
    on.fromOutside({ flags: rst });
    datapath.sweep();
    expect(datapath.openConnections(slot.web)).toBeUndefined();
  });
});

describe.each([4, 6] as const)("connections on a parent, IPv%i", (family) => {
  const on = new OnParent(datapath, family);

  test("between it and the host, and what it sends by itself", () => {
    on.put();
    on.leaves({ flags: syn });
    on.sends({ flags: syn, destination: on.address.host });
    on.sends({ flags: syn });
    on.arrives({ flags: rst, destination: on.child.one });
    expect(counted(3)).toEqual({
      "tcp receive": 1,
      "syn receive": 1,
      "rst receive": 1,
      "tcp transmit": 2,
      "syn transmit": 2,
    });
  });
});

onBothFamilies("connections of published ports", datapath, (on) => {
  const any = ANY[on.family];
  const counted = () =>
    Object.fromEntries(
      Object.entries(datapath.portCounts()).map(([port, { opened, refused }]) => [port, { opened, refused }]),
    );

  test("refused by the port's policy, which makes none", () => {
    const key = { address: ANY[on.family], port: published.tcp, proto: protocolNumber.tcp };
    datapath.write(on.mapName("port_policies"), key, { list: 1, limit: 0, burst: 0, unlistedRefused: 1 });
    datapath.write("control", 0, { ...datapath.read<Control>("control", 0), policy: PolicyFlags.PORTS });
    for (let count = 0; count < 2; count += 1) expect(on.fromOutside({ flags: syn }).verdict).toBe("drop");
    expect(counted()).toEqual({ [`tcp ${any} ${published.tcp}`]: { opened: 0, refused: 2 } });
  });

  test("are counted as they are made, by the address that the port is published on", () => {
    on.fromOutside({ flags: syn });
    on.fromOutside({ flags: syn });
    on.fromOutside({ flags: syn, sourcePort: 40001 });
    on.fromOutside({ protocol: "udp", destinationPort: published.udp });
    on.fromOutside({
      flags: syn,
      destination: on.address.hostSecond,
      destinationPort: published.onSecondAddress,
    });
    expect(counted()).toEqual({
      [`tcp ${any} ${published.tcp}`]: { opened: 2, refused: 0 },
      [`udp ${any} ${published.udp}`]: { opened: 1, refused: 0 },
      [`tcp ${on.address.hostSecond} ${published.onSecondAddress}`]: { opened: 1, refused: 0 },
    });
  });
});
