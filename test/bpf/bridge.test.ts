import { describe, expect, test } from "vitest";
import { slot, useDatapath } from "./lib/datapath.js";
import { FamilyDatapath, onBothFamilies } from "./lib/family.js";
import { mac } from "./lib/host.js";
import { etherType, moreFragments, type PacketSpec, protocolNumber, tcpFlag } from "./lib/packet.js";

const datapath = useDatapath();
const dbMac = Buffer.from(mac.db.replaceAll(":", ""), "hex");

onBothFamilies("within one network", datapath, (on) => {
  const { address } = on;
  const toDb: Partial<PacketSpec> = { destinationMac: mac.db, destination: address.db };
  const odd: [string, Partial<PacketSpec>][] =
    on.family === 4
      ? [
          ["ICMP", { protocol: "icmp", payload: Buffer.alloc(16) }],
          ["IP options", { ipOptions: Buffer.from("94040000", "hex") }],
        ]
      : [
          ["destination options", { extensions: [protocolNumber.destinationOptions] }],
          ["a routing header", { extensions: [protocolNumber.routing] }],
        ];

  test.each([
    ["TCP", {}],
    ["UDP", { protocol: "udp" }],
    ["SCTP", { protocol: protocolNumber.sctp, payload: Buffer.alloc(40) }],
    ["a first fragment", { fragment: moreFragments }],
    ["a later fragment", { fragment: 185 }],
    ["TTL 1", { ttl: 1 }],
    ["a source that is not the endpoint's", { source: address.stranger }],
    ...odd,
  ] as [string, Partial<PacketSpec>][])("%s is forwarded by MAC, every byte as it was", (_name, spec) => {
    const run = on.fromWeb({ ...toDb, ...spec });
    expect(run.verdict).toBe("redirect");
    expect(run.bytes).toEqual(run.before);
    expect(on.conntrack()).toHaveLength(0);
    expect(on.flows()).toHaveLength(0);
    expect(datapath.reasons()).toEqual({});
  });

  test("counts for sender and receiver", () => {
    on.fromWeb({ ...toDb, payload: Buffer.alloc(60) });
    const bytes = on.headerLength + 20 + 60;
    expect(datapath.counters(slot.web).transmit.fast).toEqual({ packets: 1, bytes });
    expect(datapath.counters(slot.db).receive.fast).toEqual({ packets: 1, bytes });
    expect(datapath.counters(slot.db).receive.slow).toEqual({ packets: 0, bytes: 0 });
  });

  test.each([
    ["unknown", "02:42:ac:1e:00:63"],
    ["broadcast", "ff:ff:ff:ff:ff:ff"],
    ["multicast", on.family === 4 ? "01:00:5e:00:00:fb" : "33:33:00:00:00:fb"],
  ])("%s destinations are the kernel's bridge's", (_name, destinationMac) => {
    const run = on.fromWeb({ destinationMac, destination: address.db });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ unknown_mac: 1 });
    expect(datapath.counters(slot.web).transmit.slow.packets).toBe(1);
  });

  test("another MAC than the endpoint's own is the kernel's bridge's to learn", () => {
    const run = on.fromWeb({ ...toDb, sourceMac: "02:42:ac:1e:00:aa" });
    expect(run.verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ foreign_source: 1 });
    expect(on.fromWeb({ flags: tcpFlag.syn, sourceMac: "02:42:ac:1e:00:aa" }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ foreign_source: 2 });
  });

  test("a frame to the sender itself is the kernel's bridge's to drop", () => {
    expect(on.fromWeb({ destinationMac: mac.web, destination: address.web }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ unknown_mac: 1 });
  });

  test("an 802.1q tag is the kernel's bridge's", () => {
    expect(on.fromWeb({ ...toDb, etherType: etherType.vlan }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ not_ip: 1 });
  });

  test("a network whose bridging is not ours is the kernel's", () => {
    datapath.putEndpoint(slot.web, { flags: 0 });
    expect(on.fromWeb(toDb).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ bridge_policy: 1 });
  });

  test("another bridge's endpoint with that MAC is not reached", () => {
    const { generation } = datapath.endpoint(slot.db);
    datapath.remove("fdb", { bridgeIfindex: datapath.device["br-app"], mac: dbMac });
    datapath.write(
      "fdb",
      { bridgeIfindex: datapath.device["br-other"], mac: dbMac },
      { slot: slot.db, generation },
    );
    expect(on.fromWeb(toDb).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ unknown_mac: 1 });
  });

  test("a receiver that is gone is not reached", () => {
    datapath.clearSlot(slot.db);
    expect(on.fromWeb(toDb).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ stale_flow: 1 });
  });

  test("a receiver whose slot is another's now is not reached", () => {
    const { generation } = datapath.endpoint(slot.db);
    datapath.putEndpoint(slot.db);
    datapath.write(
      "fdb",
      { bridgeIfindex: datapath.device["br-app"], mac: dbMac },
      { slot: slot.db, generation },
    );
    expect(on.fromWeb(toDb).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ stale_flow: 1 });
  });

  test("larger than the receiver's MTU is the kernel's", () => {
    datapath.putEndpoint(slot.db, { mtu: 1300 });
    const most = 1300 - on.headerLength - 20;
    expect(on.fromWeb({ ...toDb, payload: Buffer.alloc(most + 1) }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ too_big: 1 });
    expect(on.fromWeb({ ...toDb, payload: Buffer.alloc(most) }).verdict).toBe("redirect");
  });

  test("a GSO packet is as large as its segments", () => {
    datapath.putEndpoint(slot.db, { mtu: 1300 });
    const size = 1300 - on.headerLength - 20;
    const spec = { ...toDb, payload: Buffer.alloc(2 * size) };
    expect(on.fromWeb(spec, { gso: { segments: 2, size } }).verdict).toBe("redirect");
    expect(on.fromWeb(spec, { gso: { segments: 2, size: size + 1 } }).verdict).toBe("next");
  });
});

describe("what a network's hosts say to find each other goes through the kernel's bridge", () => {
  const ipv6 = new FamilyDatapath(datapath, 6);
  const toDb = { destinationMac: mac.db, destination: ipv6.address.db };

  test("ARP", () => {
    const run = new FamilyDatapath(datapath, 4).fromWeb({
      ...toDb,
      destination: "172.30.0.3",
      etherType: etherType.arp,
    });
    expect(run.verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ not_ip: 1 });
  });

  test.each([
    ["neighbour solicitation", 135],
    ["neighbour advertisement", 136],
    ["router advertisement", 134],
    ["echo request", 128],
  ])("ICMPv6: %s, even to a MAC that we know", (_name, icmpType) => {
    const run = ipv6.fromWeb({ ...toDb, protocol: "icmp", icmpType, payload: Buffer.alloc(24) });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ not_ip: 1 });
  });

  test("multicast listeners' reports, which have hop-by-hop options", () => {
    const run = ipv6.fromWeb({
      ...toDb,
      protocol: "icmp",
      icmpType: 143,
      extensions: [protocolNumber.hopByHop],
      payload: Buffer.alloc(20),
    });
    expect(run.verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ not_ip: 1 });
  });
});
