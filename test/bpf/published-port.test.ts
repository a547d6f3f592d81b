import { expect, test } from "vitest";
import { FlowDirection, FlowOrigin, SLOT_OUTSIDE } from "../../src/generated/types.js";
import { ANY, FAMILIES } from "../../src/ip.js";
import { published, slot, useDatapath } from "./lib/datapath.js";
import { FamilyDatapath, onBothFamilies } from "./lib/family.js";
import { mac } from "./lib/host.js";
import { protocolNumber, tcpFlag } from "./lib/packet.js";

const datapath = useDatapath();
const { device } = datapath;
const { syn, ack, fin, rst, psh } = tcpFlag;
const right = { ipChecksumRight: true, l4ChecksumRight: true };

onBothFamilies("a TCP connection from outside to a published port", datapath, (on) => {
  const { address } = on;

  test("its SYN goes to the container with the client's own address, one hop further, checksums right", () => {
    const { verdict, packet } = on.fromOutside({ flags: syn, payload: Buffer.from("odd") });
    expect(verdict).toBe("redirect");
    expect(packet).toMatchObject({
      source: address.client,
      sourcePort: 40000,
      destination: address.web,
      destinationPort: 80,
      destinationMac: mac.web,
      sourceMac: mac.bridge,
      ttl: 63,
      flags: syn,
      ...right,
    });
    expect(packet.payload.toString()).toBe("odd");
  });

  test("makes one conntrack entry with its DNAT, unreplied and unassured", () => {
    on.fromOutside({ flags: syn });
    const entries = on.conntrack();
    expect(entries).toHaveLength(1);
    expect(entries[0]).toMatchObject({
      original: { saddr: address.client, sport: 40000, daddr: address.host, dport: published.tcp },
      reply: { saddr: address.web, sport: 80, daddr: address.client, dport: 40000 },
      tcpState: 0,
    });
    expect((entries[0]?.status ?? 0) & 0b110).toBe(0);
  });

  test("makes the flow entries of both directions, each the inverse of the other", () => {
    on.fromOutside({ flags: syn });
    const { generation } = datapath.endpoint(slot.web);
    const flows = on.flows();
    expect(flows).toHaveLength(2);
    const original = flows.find(({ flow }) => flow.flowDirection === FlowDirection.ORIGINAL);
    const back = flows.find(({ flow }) => flow.flowDirection === FlowDirection.REPLY);
    expect(original).toMatchObject({
      key: {
        ifindex: device.uplink0,
        saddr: address.client,
        sport: 40000,
        daddr: address.host,
        dport: published.tcp,
      },
      flow: {
        ifindex: device.web0,
        saddr: address.client,
        sport: 40000,
        daddr: address.web,
        dport: 80,
        fromSlot: SLOT_OUTSIDE,
        toSlot: slot.web,
        toGeneration: generation,
        origin: FlowOrigin.MADE,
        mtu: 1500,
      },
    });
    expect(back).toMatchObject({
      key: {
        ifindex: device.web0,
        saddr: address.web,
        sport: 80,
        daddr: address.client,
        dport: 40000,
      },
      flow: {
        ifindex: device.uplink0,
        saddr: address.host,
        sport: published.tcp,
        daddr: address.client,
        dport: 40000,
        nextHop: address.client,
        fromSlot: slot.web,
        fromGeneration: generation,
        toSlot: SLOT_OUTSIDE,
        origin: FlowOrigin.MADE,
      },
    });
  });

  test("its answer leaves by the uplink with the host's address", () => {
    on.fromOutside({ flags: syn });
    const { verdict, packet } = on.fromWeb(on.reply({ flags: syn | ack, ttl: 10 }));
    expect(verdict).toBe("redirect");
    expect(packet).toMatchObject({
      source: address.host,
      sourcePort: published.tcp,
      destination: address.client,
      destinationPort: 40000,
      ttl: 9,
      ...right,
    });
  });

  test("a client behind a router is answered by way of that router", () => {
    on.fromOutside({ flags: syn, source: address.internet });
    expect(on.flowFrom(device.web0)?.nextHop).toBe(address.router);
  });

  test.each([
    ["a data packet", ack | psh],
    ["a SYN-ACK", syn | ack],
    ["a RST", rst],
    ["a FIN", fin | ack],
  ])("is not opened by %s: the kernel decides", (_name, flags) => {
    const run = on.fromOutside({ flags });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ no_flow: 1 });
    expect(on.flows()).toHaveLength(0);
    expect(on.conntrack()).toHaveLength(0);
  });

  const badSources: [string, string, string][] = [
    ["the host's own address", address.host, "no_route"],
    ["a container's address", address.db, "no_route"],
    ...(on.family === 4
      ? ([
          ["multicast", "224.0.0.1", "not_unicast"],
          ["loopback", "127.0.0.1", "not_unicast"],
          ["this network", "0.0.0.0", "not_unicast"],
          ["broadcast", "255.255.255.255", "not_unicast"],
          ["link-local", "169.254.1.1", "not_unicast"],
        ] as const)
      : ([
          ["multicast", "ff02::1", "not_unicast"],
          ["loopback", "::1", "not_unicast"],
          ["unspecified", "::", "not_unicast"],
          ["IPv4-compatible", "::198.18.0.2", "not_unicast"],
          ["IPv4-mapped", "::ffff:198.18.0.2", "not_unicast"],
          ["link-local", "fe80::1234", "not_unicast"],
          ["the end of link-local", "febf::1", "not_unicast"],
        ] as const)),
  ].map(([name, source, reason]) => [name, source, reason]);

  test.each(badSources)("from %s (%s) as its source is the kernel's to judge", (_name, source, reason) => {
    const run = on.fromOutside({ flags: syn, source });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ [reason]: 1 });
    expect(on.conntrack()).toHaveLength(0);
  });

  test("two clients with the same source port are two connections", () => {
    on.fromOutside({ flags: syn });
    on.fromOutside({ flags: syn, source: address.otherClient });
    expect(on.conntrack()).toHaveLength(2);
    expect(on.flows()).toHaveLength(4);
  });

  test("a tuple that came in by another device misses the entry", () => {
    on.handshake();
    datapath.putUplink("uplink1");
    const { before } = on.fromOutside({ flags: ack });
    const run = datapath.run("uplink_ingress", "uplink1", retarget(before, mac.uplink1));
    expect(run.verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ asymmetric_route: 1 });
  });
});

/** The frame with another destination MAC. */
function retarget(frame: Buffer, destination: string): Buffer {
  return Buffer.concat([Buffer.from(destination.replaceAll(":", ""), "hex"), frame.subarray(6)]);
}

onBothFamilies("where a port is published", datapath, (on) => {
  const { address } = on;

  test("on any address: each of the host's own answers", () => {
    expect(on.fromOutside({ flags: syn, destination: address.hostSecond }).verdict).toBe("redirect");
  });

  test("on any address, but the packet is for an address that is not the host's: not ours", () => {
    expect(on.fromOutside({ flags: syn, destination: address.otherHost }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({});
    expect(on.conntrack()).toHaveLength(0);
  });

  test("whose answers would leave by another uplink: the kernel's reverse path filter decides", () => {
    datapath.putUplink("uplink1");
    const run = on.fromOutside({ flags: syn, source: address.behindUplink1 });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ asymmetric_route: 1 });
    expect(on.conntrack()).toHaveLength(0);
  });

  test("whose answers would leave by a device that we are not attached to: the kernel's", () => {
    expect(on.fromOutside({ flags: syn, source: address.behindUplink1 }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ no_route: 1 });
  });

  test("to a client whose MAC is not known: the kernel asks for it", () => {
    const run = on.fromOutside({ flags: syn, source: address.unheard });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ no_neighbour: 1 });
    expect(on.conntrack()).toHaveLength(0);
  });

  test("on any address: that is not an address which a packet could be for", () => {
    for (const spec of [{ flags: syn }, { protocol: "udp", destinationPort: published.udp } as const]) {
      const run = on.fromOutside({ ...spec, destination: ANY[on.family] });
      expect(run.verdict).toBe("next");
      expect(run.bytes).toEqual(run.before);
    }
    expect(datapath.reasons()).toEqual({});
    expect(on.conntrack()).toHaveLength(0);
  });

  test("on one address: only that one answers", () => {
    const spec = { flags: syn, destinationPort: published.onSecondAddress };
    expect(on.fromOutside({ ...spec, destination: address.host }).verdict).toBe("next");
    expect(on.fromOutside({ ...spec, destination: address.hostSecond }).packet).toMatchObject({
      destination: address.web,
      destinationPort: 90,
    });
  });

  test("on one address and on any: the one address's is taken there", () => {
    datapath.publish(on.family, protocolNumber.tcp, published.onSecondAddress, 91);
    const spec = { flags: syn, destinationPort: published.onSecondAddress };
    expect(on.fromOutside({ ...spec, destination: address.hostSecond }).packet.destinationPort).toBe(90);
    expect(on.fromOutside({ ...spec, destination: address.host }).packet.destinationPort).toBe(91);
  });

  test("in this family only: the other one's is not ours", () => {
    const other = on.family === 4 ? 6 : 4;
    datapath.remove(on.mapName("ports"), {
      address: ANY[on.family],
      port: published.tcp,
      proto: protocolNumber.tcp,
    });
    expect(on.fromOutside({ flags: syn }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({});
    expect(datapath.entries(`ports_ipv${other}`)).toHaveLength(3);
  });

  test("for TCP: UDP to it is the host's own traffic, untouched and uncounted", () => {
    const run = on.fromOutside({ protocol: "udp" });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({});
  });

  test("traffic to another port of the host is not ours", () => {
    const run = on.fromOutside({ flags: syn, destinationPort: 22 });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({});
  });

  test("a frame to another host's MAC is not ours", () => {
    expect(on.fromOutside({ flags: syn, destinationMac: "02:00:00:00:00:99" }).verdict).toBe("next");
    expect(on.conntrack()).toHaveLength(0);
  });
});

onBothFamilies("UDP to a published port", datapath, (on) => {
  const query = { protocol: "udp", destinationPort: published.udp } as const;
  const answer = on.reply({ protocol: "udp", sourcePort: 53 } as const);

  test("goes to the container and its answer comes back from the host's address", () => {
    expect(on.fromOutside({ ...query, payload: Buffer.from("q") })).toMatchObject({
      verdict: "redirect",
      packet: { destination: on.address.web, destinationPort: 53, ttl: 63, ...right },
    });
    expect(on.fromWeb({ ...answer, payload: Buffer.from("a!") })).toMatchObject({
      verdict: "redirect",
      packet: { source: on.address.host, sourcePort: published.udp, ttl: 63, ...right },
    });
  });

  test("its first datagram makes the connection, whatever comes second", () => {
    on.fromOutside(query);
    expect(on.fromOutside(query).verdict).toBe("redirect");
    expect(on.conntrack()).toHaveLength(1);
    expect(on.flows()).toHaveLength(2);
  });
});

test("the families don't meet: each connection is in its own tables", () => {
  const both = FAMILIES.map((family) => new FamilyDatapath(datapath, family));
  for (const on of both) on.fromOutside({ flags: syn });
  for (const on of both) {
    expect(on.flows()).toHaveLength(2);
    expect(on.conntrack()).toHaveLength(1);
  }
});
