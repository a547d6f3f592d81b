import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { EndpointFlags } from "../../src/generated/types.js";
import { Datapath, ipv4, published, slot } from "./lib/datapath.js";
import { address, mac } from "./lib/host.js";
import { tcpFlag } from "./lib/packet.js";

const datapath = new Datapath();
beforeEach(() => datapath.reset());
afterAll(() => datapath.close());

const { syn, ack } = tcpFlag;

/** An answer to web's connection of fromWeb()'s defaults, at the host's address and port. */
function answer<T extends object>(spec: T, port = 50000): T & Parameters<Datapath["fromOutside"]>[0] {
  return {
    source: address.internet,
    sourcePort: 443,
    destination: address.host,
    destinationPort: port,
    ...spec,
  };
}

describe("a container's connection to the outside", () => {
  test("leaves with the host's address and keeps its source port while that is free", () => {
    const { verdict, packet } = datapath.fromWeb({ flags: syn });
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
    datapath.fromWeb({ flags: syn });
    expect(datapath.conntrack()).toMatchObject([
      {
        original: { saddr: address.web, sport: 50000, daddr: address.internet, dport: 443 },
        reply: { saddr: address.internet, sport: 443, daddr: address.host, dport: 50000 },
      },
    ]);
  });

  test("its answer goes to the container", () => {
    datapath.fromWeb({ flags: syn });
    const { verdict, packet } = datapath.fromOutside(answer({ flags: syn | ack }));
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
      const first = datapath.fromWeb({ flags: syn, protocol });
      const second = datapath.fromDb({ flags: syn, protocol });
      expect(first.packet.sourcePort).toBe(50000);
      expect(second.verdict).toBe("redirect");
      expect(second.packet.source).toBe(address.host);
      expect(second.packet.sourcePort).not.toBe(50000);
      expect(second.packet).toMatchObject({ ipChecksumRight: true, l4ChecksumRight: true });
      const replies = datapath.conntrack().filter((entry) => entry.original.proto === proto);
      expect(new Set(replies.map((entry) => entry.reply.dport)).size).toBe(2);
      // Each answer finds its own container.
      const toDb = datapath.fromOutside(answer({ flags: syn | ack, protocol }, second.packet.sourcePort));
      expect(toDb.packet).toMatchObject({ destination: address.db, destinationPort: 50000 });
      const toWeb = datapath.fromOutside(answer({ flags: syn | ack, protocol }));
      expect(toWeb.packet).toMatchObject({ destination: address.web, destinationPort: 50000 });
    },
  );

  test("takes the uplink's address in the next hop's subnet, else the first", () => {
    datapath.putUplink({
      addresses: [
        [address.hostSecond, 24],
        [address.host, 24],
      ],
    });
    // The default route's gateway is 198.18.0.254.
    expect(datapath.fromWeb({ flags: syn }).packet.source).toBe(address.host);
    datapath.reset();
    datapath.putUplink({ addresses: [[address.hostSecond, 24]] });
    expect(datapath.fromWeb({ flags: syn }).packet.source).toBe(address.hostSecond);
  });

  test("takes the network's own SNAT address where it has one", () => {
    datapath.putEndpoint(slot.web, { snatAddress: ipv4(address.hostSecond) });
    expect(datapath.fromWeb({ flags: syn }).packet.source).toBe(address.hostSecond);
  });

  test("without masquerading it is the kernel's", () => {
    datapath.putEndpoint(slot.web, { flags: EndpointFlags.BRIDGING });
    expect(datapath.fromWeb({ flags: syn }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ no_masquerade: 1 });
    expect(datapath.conntrack()).toHaveLength(0);
  });

  test("without a SYN it is the kernel's", () => {
    expect(datapath.fromWeb({ flags: ack }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ no_flow: 1 });
  });

  test("through an uplink that we are not attached to it is the kernel's", () => {
    datapath.remove("uplinks", datapath.device.uplink0);
    expect(datapath.fromWeb({ flags: syn }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ no_route: 1 });
  });

  test("to a next hop whose MAC is not known it is the kernel's, which resolves it or says that it can't", () => {
    const run = datapath.fromWeb({ flags: syn, destination: address.unheard });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ no_neighbour: 1 });
    expect(datapath.conntrack()).toHaveLength(0);
  });

  test("to another network of the host it is the kernel's, which isolates them", () => {
    expect(datapath.fromWeb({ flags: syn, destination: address.isolatedNetwork }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ no_route: 1 });
  });

  test.each([address.host, address.hostSecond, address.gateway])(
    "to the host's %s it is the kernel's",
    (own) => {
      expect(datapath.fromWeb({ flags: syn, destination: own, destinationPort: published.tcp }).verdict).toBe(
        "next",
      );
      expect(datapath.reasons()).toEqual({ to_host: 1 });
    },
  );

  test.each(["224.0.0.251", "255.255.255.255", "127.0.0.1", "169.254.169.254", "240.0.0.1", "0.0.0.0"])(
    "to %s it is the kernel's",
    (destination) => {
      const run = datapath.fromWeb({ protocol: "udp", destination });
      expect(run.verdict).toBe("next");
      expect(run.bytes).toEqual(run.before);
      expect(datapath.reasons()).toEqual({ not_unicast: 1 });
    },
  );

  test("another source than the endpoint's address is left to the kernel", () => {
    expect(datapath.fromWeb({ flags: syn, source: "172.30.0.99" }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ foreign_source: 1 });
  });
});

describe("an answer from outside whose flow entry is gone", () => {
  function forgetFlows(): void {
    for (const { key } of datapath.flows()) datapath.remove("flows", key);
  }

  test("is restored from conntrack, both directions", () => {
    datapath.fromWeb({ flags: syn });
    forgetFlows();
    const { verdict, packet } = datapath.fromOutside(answer({ flags: syn | ack }));
    expect(verdict).toBe("redirect");
    expect(packet.destination).toBe(address.web);
    expect(datapath.flows()).toHaveLength(2);
  });

  test("the host's own traffic to a port that was masqueraded once is not touched", () => {
    datapath.fromWeb({ flags: syn });
    const run = datapath.fromOutside(answer({ flags: ack, source: address.client }));
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({});
  });

  test("is not restored for an endpoint that is gone", () => {
    datapath.fromWeb({ flags: syn });
    forgetFlows();
    datapath.remove("endpoint_addresses", { address: ipv4(address.web) });
    expect(datapath.fromOutside(answer({ flags: syn | ack })).verdict).toBe("next");
  });
});
