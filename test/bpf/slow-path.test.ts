import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { Datapath, published, slot } from "./lib/datapath.js";
import { address } from "./lib/host.js";
import { type PacketSpec, tcpFlag } from "./lib/packet.js";

const datapath = new Datapath();
beforeEach(() => datapath.reset());
afterAll(() => datapath.close());

const { syn, ack, fin, rst } = tcpFlag;
const moreFragments = 0x2000;

const odd: [string, Partial<PacketSpec>, string][] = [
  ["ICMP", { protocol: 1, payload: Buffer.from("0800f7ff00000000", "hex").subarray(0, 8) }, "not_tcp_udp"],
  ["SCTP", { protocol: 132, payload: Buffer.alloc(40) }, "not_tcp_udp"],
  ["a first fragment", { fragment: moreFragments }, "fragment"],
  ["a later fragment", { fragment: 185 }, "fragment"],
  ["a last fragment", { fragment: 0x2000 | 185 }, "fragment"],
  ["IP options", { ipOptions: Buffer.from("94040000", "hex") }, "ip_options"],
  ["IPv6's ether type", { etherType: 0x86dd }, "not_ipv4"],
  ["ARP's ether type", { etherType: 0x0806 }, "not_ipv4"],
  ["an 802.1q tag", { etherType: 0x8100 }, "not_ipv4"],
  ["another IP version", { version: 6 }, "malformed"],
  ["a header of 16 bytes", { headerWords: 4 }, "malformed"],
  ["a total length beyond the frame", { totalLength: 1000 }, "malformed"],
  ["a total length shorter than TCP's header", { totalLength: 30 }, "malformed"],
  ["a TCP data offset below 5", { dataOffset: 4 }, "malformed"],
  ["a TCP data offset beyond the packet", { dataOffset: 15 }, "malformed"],
  ["SYN and FIN", { flags: syn | fin }, "malformed"],
  ["SYN and RST", { flags: syn | rst }, "malformed"],
  ["a UDP length beyond the packet", { protocol: "udp", udpLength: 900 }, "malformed"],
  ["a UDP length below 8", { protocol: "udp", udpLength: 7 }, "malformed"],
];

describe("what is not plain TCP or UDP over IPv4 is left to the kernel, untouched", () => {
  test.each(odd)("from a container: %s", (_name, spec, reason) => {
    const run = datapath.fromWeb({ flags: syn, payload: Buffer.alloc(20), ...spec });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ [reason]: 1 });
    expect(datapath.conntrack()).toHaveLength(0);
  });

  test.each(odd)("from outside to a published port: %s", (_name, spec) => {
    const run = datapath.fromOutside({ flags: syn, payload: Buffer.alloc(20), ...spec });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.conntrack()).toHaveLength(0);
  });

  test.each(odd)("on a connection that has its flow entries: %s", (_name, spec) => {
    datapath.fromOutside({ flags: syn });
    datapath.fromOutside({ protocol: "udp", destinationPort: published.udp });
    const port = spec.protocol === "udp" ? { destinationPort: published.udp } : {};
    const run = datapath.fromOutside({ flags: ack, payload: Buffer.alloc(20), ...port, ...spec });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
  });
});

describe("what needs an ICMP answer is left to the kernel, untouched", () => {
  test.each([0, 1])("from outside, TTL %i", (ttl) => {
    datapath.fromOutside({ flags: syn });
    const run = datapath.fromOutside({ flags: ack, ttl });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ ttl_expired: 1 });
  });

  test("from a container, TTL 1", () => {
    const run = datapath.fromWeb({ flags: syn, ttl: 1 });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ ttl_expired: 1 });
  });

  test("larger than the uplink's MTU", () => {
    datapath.putUplink({ mtu: 1400 });
    datapath.fromWeb({ flags: syn });
    expect(datapath.fromWeb({ flags: ack, payload: Buffer.alloc(1361) }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ too_big: 1 });
    expect(datapath.fromWeb({ flags: ack, payload: Buffer.alloc(1360) }).verdict).toBe("redirect");
  });

  test("larger than the endpoint's MTU", () => {
    datapath.putEndpoint(slot.web, { mtu: 1300 });
    datapath.publish(6, published.tcp, 80);
    datapath.fromOutside({ flags: syn });
    expect(datapath.fromOutside({ flags: ack, payload: Buffer.alloc(1261) }).verdict).toBe("next");
    expect(datapath.fromOutside({ flags: ack, payload: Buffer.alloc(1260) }).verdict).toBe("redirect");
  });

  test("a GSO packet is as large as its segments", () => {
    datapath.putUplink({ mtu: 1400 });
    datapath.fromWeb({ flags: syn });
    const payload = Buffer.alloc(2800);
    expect(datapath.fromWeb({ flags: ack, payload }, { gso: { segments: 2, size: 1400 } }).verdict).toBe(
      "next",
    );
    expect(datapath.fromWeb({ flags: ack, payload }, { gso: { segments: 3, size: 1360 } }).verdict).toBe(
      "redirect",
    );
  });
});

describe("connections that the kernel is still deciding", () => {
  test("conntrack full or the tuple taken from the other side: the kernel's", () => {
    // web already talks to the client's port 40000 from its port 80, masqueraded to the host's 8080 by chance: the reply
    // tuple that a DNAT of the client's packet would need is taken.
    datapath.fromWeb({ flags: syn, sourcePort: 80, destination: address.client, destinationPort: 40000 });
    const run = datapath.fromOutside({ flags: syn });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ conntrack_failed: 1 });
  });
});
