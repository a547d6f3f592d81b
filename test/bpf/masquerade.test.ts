import { describe, expect, test } from "vitest";
import { FlowOrigin, SLOT_OUTSIDE } from "../../src/generated/types.js";
import { ANY } from "../../src/ip.js";
import { published, slot, useDatapath } from "./lib/datapath.js";
import { FamilyDatapath, onBothFamilies } from "./lib/family.js";
import { addresses, mac } from "./lib/host.js";
import { tcpFlag } from "./lib/packet.js";

const datapath = useDatapath();
const { device } = datapath;
const { syn, ack } = tcpFlag;

onBothFamilies("a container's connection to the outside", datapath, (on) => {
  const { address } = on;

  test("leaves with the host's address and keeps its source port while that is free", () => {
    const { verdict, packet } = on.fromWeb({ flags: syn });
    expect(verdict).toBe("redirect");
    expect(packet).toMatchObject({
      source: address.host,
      sourcePort: 50000,
      destination: address.internet,
      destinationPort: 443,
      ttl: 63,
      ipChecksumRight: true,
      l4ChecksumRight: true,
    });
  });

  test("is in conntrack with its SNAT", () => {
    on.fromWeb({ flags: syn });
    expect(on.conntrack()).toMatchObject([
      {
        original: { saddr: address.web, sport: 50000, daddr: address.internet, dport: 443 },
        reply: { saddr: address.internet, sport: 443, daddr: address.host, dport: 50000 },
      },
    ]);
  });

  test("has flow entries by way of the default route's gateway and back", () => {
    on.fromWeb({ flags: syn });
    const { generation } = datapath.endpoint(slot.web);
    expect(on.flows()).toHaveLength(2);
    expect(on.flowFrom(device.web0)).toMatchObject({
      ifindex: device.uplink0,
      nextHop: address.router,
      mtu: 1500,
      fromSlot: slot.web,
      fromGeneration: generation,
      toSlot: SLOT_OUTSIDE,
      origin: FlowOrigin.MADE,
    });
    expect(on.flowFrom(device.uplink0)).toMatchObject({
      ifindex: device.web0,
      fromSlot: SLOT_OUTSIDE,
      toSlot: slot.web,
      toGeneration: generation,
    });
  });

  test("its answer goes to the container", () => {
    on.fromWeb({ flags: syn });
    const { verdict, packet } = on.fromOutside(on.answer({ flags: syn | ack }));
    expect(verdict).toBe("redirect");
    expect(packet).toMatchObject({
      destination: address.web,
      destinationPort: 50000,
      source: address.internet,
      destinationMac: mac.web,
      sourceMac: mac.bridge,
      ttl: 63,
      ipChecksumRight: true,
      l4ChecksumRight: true,
    });
  });

  test.each([
    ["udp", 17],
    ["tcp", 6],
  ] as const)(
    "%s: two endpoints with the same source port to one peer never share a mapping",
    (protocol, proto) => {
      const first = on.fromWeb({ flags: syn, protocol });
      const second = on.fromDb({ flags: syn, protocol });
      expect(first.packet.sourcePort).toBe(50000);
      expect(second.verdict).toBe("redirect");
      expect(second.packet.source).toBe(address.host);
      expect(second.packet.sourcePort).not.toBe(50000);
      expect(second.packet).toMatchObject({ ipChecksumRight: true, l4ChecksumRight: true });
      const replies = on.conntrack().filter((entry) => entry.original.proto === proto);
      expect(new Set(replies.map((entry) => entry.reply.dport)).size).toBe(2);
      // Each answer finds its own container.
      const toDb = on.fromOutside(on.answer({ flags: syn | ack, protocol }, second.packet.sourcePort));
      expect(toDb.packet).toMatchObject({ destination: address.db, destinationPort: 50000 });
      const toWeb = on.fromOutside(on.answer({ flags: syn | ack, protocol }));
      expect(toWeb.packet).toMatchObject({ destination: address.web, destinationPort: 50000 });
    },
  );

  test("leaves by the uplink that its route leads to, with that one's address", () => {
    datapath.putUplink("uplink1");
    const { verdict, packet } = on.fromWeb({ flags: syn, destination: address.behindUplink1 });
    expect(verdict).toBe("redirect");
    expect(packet.source).toBe(address.hostOnUplink1);
    expect(on.flowFrom(device.web0)).toMatchObject({
      ifindex: device.uplink1,
      nextHop: address.behindUplink1,
    });
  });

  test("takes the network's own SNAT address where it has one", () => {
    on.changeWeb({ snatAddress: address.hostSecond });
    expect(on.fromWeb({ flags: syn }).packet.source).toBe(address.hostSecond);
  });

  test("without masquerading it is the kernel's", () => {
    on.changeWeb({ flags: 0 });
    expect(on.fromWeb({ flags: syn }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ no_masquerade: 1 });
    expect(on.conntrack()).toHaveLength(0);
  });

  test("without a SYN it is the kernel's", () => {
    expect(on.fromWeb({ flags: ack }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ no_flow: 1 });
  });

  test("through an uplink that we are not attached to it is the kernel's", () => {
    datapath.remove("uplinks", device.uplink0);
    expect(on.fromWeb({ flags: syn }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ no_route: 1 });
  });

  test("to a next hop whose MAC is not known it is the kernel's, which resolves it or says that it can't", () => {
    const run = on.fromWeb({ flags: syn, destination: address.unheard });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ no_neighbour: 1 });
    expect(on.conntrack()).toHaveLength(0);
  });

  test("to another network of the host it is the kernel's, which isolates them", () => {
    expect(on.fromWeb({ flags: syn, destination: address.isolatedNetwork }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ no_route: 1 });
  });

  test.each(["host", "hostSecond", "gateway"] as const)(
    "to the host itself (%s) it is the kernel's",
    (own) => {
      const spec = { flags: syn, destination: address[own], destinationPort: published.tcp };
      expect(on.fromWeb(spec).verdict).toBe("next");
      expect(datapath.reasons()).toEqual({ to_host: 1 });
    },
  );

  test.each(
    on.family === 4
      ? ["224.0.0.251", "255.255.255.255", "127.0.0.1", "169.254.169.254", "240.0.0.1", "0.0.0.0"]
      : ["ff02::fb", "ff0e::1", "::1", "::", "fe80::1", "febf::1", "::ffff:198.19.0.9", "::198.19.0.9"],
  )("to %s it is the kernel's", (destination) => {
    const run = on.fromWeb({ protocol: "udp", destination });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ not_unicast: 1 });
  });

  test("another source than the endpoint's address is left to the kernel", () => {
    expect(on.fromWeb({ flags: syn, source: address.stranger }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ foreign_source: 1 });
    expect(on.conntrack()).toHaveLength(0);
  });

  test("an endpoint without an address of this family is left to the kernel", () => {
    on.changeWeb({ address: ANY[on.family], flags: 0 });
    expect(on.fromWeb({ flags: syn }).verdict).toBe("next");
    expect(on.conntrack()).toHaveLength(0);
  });
});

describe("which address masquerading takes", () => {
  const ipv4 = new FamilyDatapath(datapath, 4);
  const ipv6 = new FamilyDatapath(datapath, 6);

  test("IPv4: the uplink's in the next hop's subnet, as the kernel does", () => {
    // The default route's gateway is 198.18.0.254.
    datapath.putUplink("uplink0", {
      ipv4: [
        [addresses[4].hostSecond, 24],
        [addresses[4].host, 24],
      ],
    });
    expect(ipv4.fromWeb({ flags: syn }).packet.source).toBe(addresses[4].host);
  });

  test("IPv4: else the uplink's first", () => {
    datapath.putUplink("uplink0", { ipv4: [[addresses[4].hostSecond, 24]] });
    expect(ipv4.fromWeb({ flags: syn }).packet.source).toBe(addresses[4].hostSecond);
  });

  test("IPv4: an uplink without an address leaves it to the kernel", () => {
    datapath.putUplink("uplink0", { ipv4: [] });
    expect(ipv4.fromWeb({ flags: syn }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ no_masquerade: 1 });
    expect(ipv4.conntrack()).toHaveLength(0);
  });

  test("IPv6: the uplink's only one", () => {
    expect(ipv6.fromWeb({ flags: syn }).packet.source).toBe(addresses[6].host);
  });

  test("IPv6: an uplink with none or several leaves the choice to the kernel", () => {
    datapath.putUplink("uplink0", { ipv6: ANY[6] });
    const run = ipv6.fromWeb({ flags: syn });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ no_masquerade: 1 });
    expect(ipv6.conntrack()).toHaveLength(0);
  });

  test("IPv6: the network's own SNAT address holds there too", () => {
    datapath.putUplink("uplink0", { ipv6: ANY[6] });
    ipv6.changeWeb({ snatAddress: addresses[6].hostSecond });
    expect(ipv6.fromWeb({ flags: syn }).packet.source).toBe(addresses[6].hostSecond);
  });
});

onBothFamilies("an answer from outside whose flow entry is gone", datapath, (on) => {
  const { address } = on;

  test("is restored from conntrack, both directions", () => {
    on.fromWeb({ flags: syn });
    on.forgetFlows();
    const { verdict, packet } = on.fromOutside(on.answer({ flags: syn | ack }));
    expect(verdict).toBe("redirect");
    expect(packet.destination).toBe(address.web);
    expect(on.flows()).toHaveLength(2);
    expect(on.flows().every(({ flow }) => flow.origin === FlowOrigin.ADOPTED)).toBe(true);
  });

  test("the host's own traffic to a port that was masqueraded once is not touched", () => {
    on.fromWeb({ flags: syn });
    const run = on.fromOutside(on.answer({ flags: ack, source: address.client }));
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({});
  });

  test("is not restored for an endpoint that is gone", () => {
    on.fromWeb({ flags: syn });
    on.forgetFlows();
    datapath.remove(on.mapName("endpoint_addresses"), address.web);
    expect(on.fromOutside(on.answer({ flags: syn | ack })).verdict).toBe("next");
    expect(on.flows()).toHaveLength(0);
  });
});
