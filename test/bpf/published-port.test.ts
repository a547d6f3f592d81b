import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { EndpointFlags, FlowDirection, FlowState } from "../../src/generated/types.js";
import { Datapath, ipv4, published, slot } from "./lib/datapath.js";
import { address, mac } from "./lib/host.js";
import { tcpFlag } from "./lib/packet.js";

const datapath = new Datapath();
beforeEach(() => datapath.reset());
afterAll(() => datapath.close());

const { syn, ack, fin, rst, psh } = tcpFlag;
const tcpCloseTimeout = 10;

function handshake(): void {
  datapath.fromOutside({ flags: syn });
  datapath.fromWeb(reply({ flags: syn | ack }));
  datapath.fromOutside({ flags: ack });
}

function reply<T extends object>(
  spec: T,
): T & { sourcePort: number; destination: string; destinationPort: number } {
  return { sourcePort: 80, destination: address.client, destinationPort: 40000, ...spec };
}

describe("a TCP connection from outside to a published port", () => {
  test("its SYN goes to the container with the client's own address, one hop further, checksums right", () => {
    const { verdict, packet } = datapath.fromOutside({ flags: syn, payload: Buffer.from("odd") });
    expect(verdict).toBe("redirect");
    expect(packet).toMatchObject({
      source: address.client,
      sourcePort: 40000,
      destination: address.web,
      destinationPort: 80,
      destinationMac: mac.web,
      sourceMac: mac.bridge,
      ttl: 63,
      ipChecksumRight: true,
      l4ChecksumRight: true,
    });
    expect(packet.payload.toString()).toBe("odd");
  });

  test("makes one conntrack entry with its DNAT, unreplied and unassured", () => {
    datapath.fromOutside({ flags: syn });
    const entries = datapath.conntrack();
    expect(entries).toHaveLength(1);
    expect(entries[0]).toMatchObject({
      original: { saddr: address.client, sport: 40000, daddr: address.host, dport: published.tcp },
      reply: { saddr: address.web, sport: 80, daddr: address.client, dport: 40000 },
      tcpState: 0,
    });
    expect((entries[0]?.status ?? 0) & 0b110).toBe(0);
  });

  test("makes the flow entries of both directions, each the inverse of the other", () => {
    datapath.fromOutside({ flags: syn });
    const flows = datapath.flows();
    expect(flows).toHaveLength(2);
    const original = flows.find(({ flow }) => flow.flowDirection === FlowDirection.ORIGINAL);
    const back = flows.find(({ flow }) => flow.flowDirection === FlowDirection.REPLY);
    expect(original).toMatchObject({
      key: { ifindex: datapath.device.uplink0, daddr: ipv4(address.host), dport: published.tcp },
      flow: { ifindex: datapath.device.web0, daddr: ipv4(address.web), dport: 80, slot: slot.web },
    });
    expect(back).toMatchObject({
      key: { ifindex: datapath.device.web0, saddr: ipv4(address.web), sport: 80 },
      flow: { ifindex: datapath.device.uplink0, saddr: ipv4(address.host), sport: published.tcp },
    });
  });

  test("its answer leaves by the uplink with the host's address", () => {
    datapath.fromOutside({ flags: syn });
    const { verdict, packet } = datapath.fromWeb(reply({ flags: syn | ack, ttl: 10 }));
    expect(verdict).toBe("redirect");
    expect(packet).toMatchObject({
      source: address.host,
      sourcePort: published.tcp,
      destination: address.client,
      destinationPort: 40000,
      ttl: 9,
      ipChecksumRight: true,
      l4ChecksumRight: true,
    });
  });

  test("conntrack sees it replied by the SYN-ACK and assured by the ACK, with the established timeout", () => {
    handshake();
    const entry = datapath.conntrack()[0];
    expect((entry?.status ?? 0) & 0b110).toBe(0b110);
    expect(entry?.timeout).toBeGreaterThan(431_000);
  });

  test("is not assured by an ACK that no SYN-ACK came before", () => {
    datapath.fromOutside({ flags: syn });
    datapath.fromOutside({ flags: ack });
    expect((datapath.conntrack()[0]?.status ?? 0) & 0b100).toBe(0);
  });

  test("a FIN one way shortens conntrack's timeout, both ways closes it", () => {
    handshake();
    datapath.fromOutside({ flags: fin | ack });
    expect(datapath.conntrack()[0]?.timeout).toBeLessThanOrEqual(120);
    datapath.fromWeb(reply({ flags: fin | ack }));
    expect(datapath.conntrack()[0]?.timeout).toBeLessThanOrEqual(tcpCloseTimeout);
    expect(datapath.flows().map(({ flow }) => flow.state)).toEqual([FlowState.CLOSED, FlowState.CLOSED]);
  });

  test("a repeated FIN of one side does not close it", () => {
    handshake();
    datapath.fromOutside({ flags: fin | ack });
    datapath.fromOutside({ flags: fin | ack });
    expect(datapath.conntrack()[0]?.timeout).toBeGreaterThan(tcpCloseTimeout);
    expect(datapath.flows().map(({ flow }) => flow.state)).toEqual([FlowState.CLOSING, FlowState.CLOSING]);
  });

  test("a RST closes it at once", () => {
    handshake();
    datapath.fromWeb(reply({ flags: rst }));
    expect(datapath.conntrack()[0]?.timeout).toBeLessThanOrEqual(tcpCloseTimeout);
  });

  test("a SYN on the closed tuple opens a new one, fast from its first packet", () => {
    handshake();
    datapath.fromOutside({ flags: rst });
    expect(datapath.fromOutside({ flags: syn }).verdict).toBe("redirect");
    const entries = datapath.conntrack();
    expect(entries).toHaveLength(1);
    expect((entries[0]?.status ?? 0) & 0b110).toBe(0);
    expect(datapath.flows().every(({ flow }) => flow.state === FlowState.NEW)).toBe(true);
  });

  test("a SYN on an open connection does not disturb it", () => {
    handshake();
    expect(datapath.fromOutside({ flags: syn }).verdict).toBe("redirect");
    expect((datapath.conntrack()[0]?.status ?? 0) & 0b110).toBe(0b110);
  });

  test("a retransmitted SYN stays fast and keeps the one entry", () => {
    datapath.fromOutside({ flags: syn });
    expect(datapath.fromOutside({ flags: syn }).verdict).toBe("redirect");
    expect(datapath.conntrack()).toHaveLength(1);
  });

  test.each([
    ["a data packet", ack | psh],
    ["a SYN-ACK", syn | ack],
    ["a RST", rst],
    ["a FIN", fin | ack],
  ])("is not opened by %s: the kernel decides", (_name, flags) => {
    const run = datapath.fromOutside({ flags });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ no_flow: 1 });
    expect(datapath.flows()).toHaveLength(0);
    expect(datapath.conntrack()).toHaveLength(0);
  });

  test.each([
    ["multicast", "224.0.0.1", "not_unicast"],
    ["loopback", "127.0.0.1", "not_unicast"],
    ["0.0.0.0", "0.0.0.0", "not_unicast"],
    ["broadcast", "255.255.255.255", "not_unicast"],
    ["the host's own address", address.host, "no_route"],
    ["a container's address", address.db, "no_route"],
  ])("from %s as its source is the kernel's to judge", (_name, source, reason) => {
    const run = datapath.fromOutside({ flags: syn, source });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ [reason]: 1 });
    expect(datapath.conntrack()).toHaveLength(0);
  });

  test("two clients with the same source port are two connections", () => {
    datapath.fromOutside({ flags: syn });
    datapath.fromOutside({ flags: syn, source: address.otherClient });
    expect(datapath.conntrack()).toHaveLength(2);
    expect(datapath.flows()).toHaveLength(4);
  });

  test.each([0, 1, 2, 3, 7, 100, 1399])("carries %i bytes of payload with right checksums", (length) => {
    handshake();
    const payload = Buffer.alloc(length, 0xa5);
    const { packet } = datapath.fromOutside({ flags: ack | psh, payload });
    expect(packet).toMatchObject({ ipChecksumRight: true, l4ChecksumRight: true });
    expect(packet.payload).toEqual(payload);
  });

  test("carries TCP options", () => {
    const tcpOptions = Buffer.from("020405b40402080a0000000100000000", "hex");
    const { verdict, packet } = datapath.fromOutside({ flags: syn, tcpOptions });
    expect(verdict).toBe("redirect");
    expect(packet.l4ChecksumRight).toBe(true);
  });
});

describe("where a port is published", () => {
  test("on any address: each of the host's own answers", () => {
    expect(datapath.fromOutside({ flags: syn, destination: address.hostSecond }).verdict).toBe("redirect");
  });

  test("on any address, but the packet is for an address that is not the host's: not ours", () => {
    expect(datapath.fromOutside({ flags: syn, destination: "198.18.0.77" }).verdict).toBe("next");
    expect(datapath.conntrack()).toHaveLength(0);
  });

  test("whose answers would leave by another uplink: the kernel's reverse path filter decides", () => {
    const other = datapath.device["br-other"];
    datapath.write("uplinks", other, datapath.read("uplinks", datapath.device.uplink0));
    // The client's way back leads through the second uplink.
    const run = datapath.fromOutside({ flags: syn, source: address.behindOtherUplink });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ asymmetric_route: 1 });
  });

  test("on one address: only that one answers", () => {
    const spec = { flags: syn, destinationPort: published.onSecondAddress };
    expect(datapath.fromOutside({ ...spec, destination: address.host }).verdict).toBe("next");
    expect(datapath.fromOutside({ ...spec, destination: address.hostSecond }).packet).toMatchObject({
      destination: address.web,
      destinationPort: 90,
    });
  });

  test("for TCP: UDP to it is the host's own traffic, untouched and uncounted", () => {
    const run = datapath.fromOutside({ protocol: "udp" });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({});
  });

  test("traffic to another port of the host is not ours", () => {
    expect(datapath.fromOutside({ flags: syn, destinationPort: 22 }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({});
  });

  test("a frame to another host's MAC is not ours", () => {
    expect(datapath.fromOutside({ flags: syn, destinationMac: "02:00:00:00:00:99" }).verdict).toBe("next");
    expect(datapath.conntrack()).toHaveLength(0);
  });
});

describe("UDP to a published port", () => {
  const query = { protocol: "udp", destinationPort: published.udp } as const;
  const answer = {
    protocol: "udp",
    sourcePort: 53,
    destination: address.client,
    destinationPort: 40000,
  } as const;

  test("goes to the container and its answer comes back from the host's address", () => {
    expect(datapath.fromOutside({ ...query, payload: Buffer.from("q") })).toMatchObject({
      verdict: "redirect",
      packet: { destination: address.web, destinationPort: 53, l4ChecksumRight: true, ipChecksumRight: true },
    });
    expect(datapath.fromWeb({ ...answer, payload: Buffer.from("a!") })).toMatchObject({
      verdict: "redirect",
      packet: {
        source: address.host,
        sourcePort: published.udp,
        l4ChecksumRight: true,
        ipChecksumRight: true,
      },
    });
    const entry = datapath.conntrack()[0];
    expect((entry?.status ?? 0) & 0b10).toBe(0b10);
    expect(entry?.timeout).toBeLessThanOrEqual(30);
  });

  test("sent without a checksum stays without", () => {
    const { packet } = datapath.fromOutside({ ...query, noChecksum: true, payload: Buffer.from("x") });
    expect(packet.l4Checksum).toBe(0);
    expect(packet.destination).toBe(address.web);
  });

  test("whose checksum becomes 0 is sent as 0xffff", () => {
    // A payload word chosen so that the sum after the rewrite is 0xffff, the checksum thus 0.
    for (let word = 0; word <= 0xffff; word += 1) {
      const payload = Buffer.alloc(2);
      payload.writeUInt16BE(word);
      if (rewrittenChecksumIsZero(payload)) {
        const { packet } = datapath.fromOutside({ ...query, payload });
        expect(packet.l4Checksum).toBe(0xffff);
        expect(packet.l4ChecksumRight).toBe(true);
        return;
      }
    }
    throw new Error("no such payload");
  });
});

function rewrittenChecksumIsZero(payload: Buffer): boolean {
  const words = [0xc612, 0x0002, 0xac1e, 0x0002, 17, 10, 40000, 53, 10, payload.readUInt16BE(0)];
  let sum = words.reduce((left, right) => left + right, 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum === 0xffff;
}

describe("where a firewall's rules may concern an endpoint", () => {
  function filtered(): void {
    datapath.putEndpoint(slot.web, { flags: EndpointFlags.MASQUERADE | EndpointFlags.FILTERED });
    datapath.publish(6, published.tcp, 80);
    datapath.publish(17, published.udp, 53);
  }

  test.each([
    ["TCP", { flags: syn }],
    ["UDP", { protocol: "udp", destinationPort: published.udp }],
  ] as const)("a new %s connection from outside is the kernel's to decide", (_name, spec) => {
    filtered();
    const run = datapath.fromOutside(spec);
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ filtered: 1 });
    expect(datapath.conntrack()).toHaveLength(0);
  });

  test("a container's new connection to the outside is the kernel's to decide", () => {
    filtered();
    expect(datapath.fromWeb({ flags: syn }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ filtered: 1 });
    expect(datapath.conntrack()).toHaveLength(0);
  });

  test("a connection that it let pass goes on on the fast path", () => {
    handshake();
    for (const { key } of datapath.flows()) datapath.remove("flows", key);
    filtered();
    expect(datapath.fromOutside({ flags: ack }).verdict).toBe("redirect");
  });

  test("datagrams without an answer yet are not taken over: each may be refused", () => {
    datapath.fromOutside({ protocol: "udp", destinationPort: published.udp });
    for (const { key } of datapath.flows()) datapath.remove("flows", key);
    filtered();
    expect(datapath.fromOutside({ protocol: "udp", destinationPort: published.udp }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ conntrack_state: 1 });
  });
});
