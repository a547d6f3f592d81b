import { describe, expect, test } from "vitest";
import { published, slot, useDatapath } from "./lib/datapath.js";
import { FamilyDatapath, onBothFamilies } from "./lib/family.js";
import { etherType, moreFragments, type PacketSpec, protocolNumber, tcpFlag } from "./lib/packet.js";

const datapath = useDatapath();
const { syn, ack, fin, rst } = tcpFlag;

/** What no program of ours forwards but by MAC, and the reason that it says. */
function oddPackets(on: FamilyDatapath): [string, Partial<PacketSpec>, string][] {
  const both: [string, Partial<PacketSpec>, string][] = [
    ["ICMP", { protocol: "icmp" }, "not_tcp_udp"],
    ["SCTP", { protocol: protocolNumber.sctp, payload: Buffer.alloc(40) }, "not_tcp_udp"],
    ["a first fragment", { fragment: moreFragments }, "fragment"],
    ["a later fragment", { fragment: moreFragments | 185 }, "fragment"],
    ["a last fragment", { fragment: 185 }, "fragment"],
    ["ARP's ether type", { etherType: etherType.arp }, "not_ip"],
    ["an 802.1q tag", { etherType: etherType.vlan }, "not_ip"],
    [
      "the other family's ether type",
      { etherType: on.family === 4 ? etherType.ipv6 : etherType.ipv4 },
      "malformed",
    ],
    ["the other family's version", { version: on.family === 4 ? 6 : 4 }, "malformed"],
    ["a length beyond the frame", { ipPayloadLength: 980 }, "malformed"],
    ["a length shorter than TCP's header", { ipPayloadLength: 10 }, "malformed"],
    ["no length at all", { ipPayloadLength: 0 }, "malformed"],
    ["a TCP data offset below 5", { dataOffset: 4 }, "malformed"],
    ["a TCP data offset beyond the packet", { dataOffset: 15 }, "malformed"],
    ["SYN and FIN", { flags: syn | fin }, "malformed"],
    ["SYN and RST", { flags: syn | rst }, "malformed"],
    ["no flags at all", { flags: 0 }, "malformed"],
    ["FIN without ACK", { flags: fin }, "malformed"],
    ["FIN, PSH and URG", { flags: fin | 0x28 }, "malformed"],
    ["all flags", { flags: 0x3f }, "malformed"],
    ["a UDP length beyond the packet", { protocol: "udp", udpLength: 900 }, "malformed"],
    ["a UDP length below 8", { protocol: "udp", udpLength: 7 }, "malformed"],
  ];
  if (on.family === 4) {
    return [
      ...both,
      ["IP options", { ipOptions: Buffer.from("94040000", "hex") }, "ip_options"],
      ["a wrong header checksum", { ipChecksum: 0x1234 }, "malformed"],
      ["a header of 16 bytes", { headerWords: 4 }, "malformed"],
      ["UDP-Lite", { protocol: 136, payload: Buffer.alloc(40) }, "not_tcp_udp"],
    ];
  }
  const { hopByHop, routing, authentication, destinationOptions, mobility, noNext } = protocolNumber;
  return [
    ...both,
    ["hop-by-hop options", { extensions: [hopByHop] }, "ip_options"],
    ["a routing header", { extensions: [routing] }, "ip_options"],
    ["an authentication header", { extensions: [authentication] }, "ip_options"],
    ["destination options", { extensions: [destinationOptions] }, "ip_options"],
    ["a mobility header", { extensions: [mobility] }, "ip_options"],
    ["two extension headers", { extensions: [hopByHop, destinationOptions] }, "ip_options"],
    ["a fragment with options before it", { extensions: [hopByHop], fragment: 0 }, "ip_options"],
    ["an atomic fragment", { fragment: 0 }, "fragment"],
    ["no next header", { protocol: noNext, payload: Buffer.alloc(40) }, "not_tcp_udp"],
    ["encapsulated IPv6", { protocol: 41, payload: Buffer.alloc(60) }, "not_tcp_udp"],
  ];
}

onBothFamilies("what is not plain TCP or UDP is left to the kernel, untouched", datapath, (on) => {
  const odd = oddPackets(on);

  test.each(odd)("from a container: %s", (_name, spec, reason) => {
    const run = on.fromWeb({ flags: syn, payload: Buffer.alloc(20), ...spec });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ [reason]: 1 });
    expect(on.conntrack()).toHaveLength(0);
  });

  test.each(odd)("from outside to a published port: %s", (_name, spec) => {
    const run = on.fromOutside({ flags: syn, payload: Buffer.alloc(20), ...spec });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({});
    expect(on.conntrack()).toHaveLength(0);
  });

  test.each(odd)("on a connection that has its flow entries: %s", (_name, spec) => {
    on.fromOutside({ flags: syn });
    on.fromOutside({ protocol: "udp", destinationPort: published.udp });
    const port = spec.protocol === "udp" ? { destinationPort: published.udp } : {};
    const run = on.fromOutside({ flags: ack, payload: Buffer.alloc(20), ...port, ...spec });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
  });
});

onBothFamilies("what needs an ICMP answer is left to the kernel, untouched", datapath, (on) => {
  /** The largest TCP payload that an MTU has room for. */
  const room = (mtu: number): number => mtu - on.headerLength - 20;

  test.each([0, 1])("from outside, TTL %i", (ttl) => {
    on.fromOutside({ flags: syn });
    const run = on.fromOutside({ flags: ack, ttl });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ ttl_expired: 1 });
  });

  test("from a container, TTL 1", () => {
    const run = on.fromWeb({ flags: syn, ttl: 1 });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ ttl_expired: 1 });
  });

  test.each([
    ["TCP from outside", () => on.fromOutside({ flags: syn, ttl: 1 })],
    ["UDP from outside", () => on.fromOutside({ protocol: "udp", destinationPort: published.udp, ttl: 1 })],
    ["TCP from a container", () => on.fromWeb({ flags: syn, ttl: 1 })],
    ["UDP from a container", () => on.fromWeb({ protocol: "udp", ttl: 1 })],
  ] as const)("no connection comes of a first packet with TTL 1: %s", (_name, first) => {
    const run = first();
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ ttl_expired: 1 });
    expect(on.conntrack()).toHaveLength(0);
    expect(on.flows()).toHaveLength(0);
  });

  test("TTL 2 is the last that goes on", () => {
    const { verdict, packet } = on.fromWeb({ flags: syn, ttl: 2 });
    expect(verdict).toBe("redirect");
    expect(packet.ttl).toBe(1);
  });

  test("larger than the route's MTU, where that binds what is forwarded", () => {
    on.withRouteMtu(on.address.behindUplink1, "uplink1", 1400, () => {
      datapath.putUplink("uplink1");
      const spec = { destination: on.address.behindUplink1 };
      on.fromWeb({ ...spec, flags: syn });
      const run = on.fromWeb({ ...spec, flags: ack, payload: Buffer.alloc(room(1400) + 1) });
      expect(run.verdict).toBe("next");
      expect(run.bytes).toEqual(run.before);
      expect(datapath.reasons()).toEqual({ too_big: 1 });
      expect(on.fromWeb({ ...spec, flags: ack, payload: Buffer.alloc(room(1400)) }).verdict).toBe("redirect");
    });
  });

  test("larger than the smallest of the uplink's routes, which the kernel tells nobody but the planner", () => {
    datapath.putUplink("uplink0", { mtu: 1300 });
    on.fromWeb({ flags: syn });
    expect(on.fromWeb({ flags: ack, payload: Buffer.alloc(room(1300) + 1) }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ too_big: 1 });
    expect(on.fromWeb({ flags: ack, payload: Buffer.alloc(room(1300)) }).verdict).toBe("redirect");
  });

  test("larger than the uplink's MTU", () => {
    on.fromWeb({ flags: syn });
    expect(on.fromWeb({ flags: ack, payload: Buffer.alloc(room(1500) + 1) }).verdict).toBe("next");
    expect(on.fromWeb({ flags: ack, payload: Buffer.alloc(room(1500)) }).verdict).toBe("redirect");
  });

  test("larger than the endpoint's MTU", () => {
    datapath.putEndpoint(slot.web, { mtu: 1300 });
    datapath.publishDefaults(on.family);
    on.fromOutside({ flags: syn });
    expect(on.fromOutside({ flags: ack, payload: Buffer.alloc(room(1300) + 1) }).verdict).toBe("next");
    expect(on.fromOutside({ flags: ack, payload: Buffer.alloc(room(1300)) }).verdict).toBe("redirect");
  });

  test("a GSO packet is as large as its segments", () => {
    on.fromWeb({ flags: syn });
    const payload = Buffer.alloc(2900);
    const gso = (size: number) => ({ gso: { segments: 2, size } });
    expect(on.fromWeb({ flags: ack, payload }, gso(room(1500) + 1)).verdict).toBe("next");
    expect(on.fromWeb({ flags: ack, payload }, gso(room(1500))).verdict).toBe("redirect");
  });
});

onBothFamilies("connections that the kernel is still deciding", datapath, (on) => {
  test("the tuple is taken from the other side: the kernel's", () => {
    // web already talks to the client's port 40000 from its port 80, masqueraded to the host's 8080 by chance: the reply
    // tuple that a DNAT of the client's packet would need is taken.
    on.fromWeb(on.reply({ flags: syn }));
    const run = on.fromOutside({ flags: syn });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ conntrack_failed: 1 });
  });
});

describe("IPv6 routing looks at more than addresses", () => {
  const ipv6 = new FamilyDatapath(datapath, 6);

  test.each([0, 0xfffff])("a flow label of %i changes nothing", (flowLabel) => {
    const { verdict, packet } = ipv6.fromWeb({ flags: syn, flowLabel, tos: 0xb8 });
    expect(verdict).toBe("redirect");
    expect(packet.source).toBe(ipv6.address.host);
  });
});
