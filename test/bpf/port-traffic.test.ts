import { describe, expect, test } from "vitest";
import { EndpointIpFlags, PUBLISHED_BITS } from "../../src/generated/types.js";
import { updateConntrackTcp } from "../../src/native/index.js";
import { forget, type KernelConnection, trackByKernel } from "./lib/conntrack.js";
import { type PortCounts, published, slot, useDatapath } from "./lib/datapath.js";
import { onBothFamilies, secondsBefore } from "./lib/family.js";
import { moreFragments, type PacketSpec, protocolNumber, tcpFlag } from "./lib/packet.js";

const datapath = useDatapath();
const { syn, ack, fin, rst, psh } = tcpFlag;
const nothing = { packets: 0, bytes: 0 };
const byBridge = { arrivedBy: "br-app" } as const;

onBothFamilies("packets and bytes of a published port", datapath, (on) => {
  const { address } = on;
  const any = on.family === 4 ? "0.0.0.0" : "::";
  const web = `tcp ${any} ${published.tcp}`;
  const dns = `udp ${any} ${published.udp}`;
  /** Of IP and TCP. */
  const headers = on.headerLength + 20;
  const query = { protocol: "udp", destinationPort: published.udp } as const;
  const queryToWeb = { protocol: "udp", destinationPort: 53 } as const;
  const reply = (spec: Partial<PacketSpec>) => on.reply({ flags: ack, ...spec });
  const answered = on.reply({ protocol: "udp", sourcePort: 53 });

  /** The client's connection to the port, as the kernel has made it. */
  const toPort: KernelConnection = {
    protocol: "tcp",
    from: { address: address.client, port: 40000 },
    to: { address: address.host, port: published.tcp },
    toAs: { address: address.web, port: 80 },
  };

  const traffic = (port = web) => {
    const { receive, transmit }: Pick<PortCounts, "receive" | "transmit"> = datapath.portCounts()[port] ?? {
      receive: nothing,
      transmit: nothing,
    };
    return { receive, transmit };
  };
  const packets = (port = web) => {
    const { receive, transmit } = traffic(port);
    return [receive.packets, transmit.packets];
  };
  /** web's new connections are the kernel's to decide. Its ports have other numbers after it. */
  const filter = () => on.changeWeb({ flags: EndpointIpFlags.MASQUERADE | EndpointIpFlags.FILTERED });
  /** All that the container has sent and got, on both paths: the ports' have to add up to it where it does nothing else. */
  const all = () => {
    const { receive, transmit } = datapath.counters(slot.web);
    return [receive.fast.packets + receive.slow.packets, transmit.fast.packets + transmit.slow.packets];
  };

  describe("of a connection that is made", () => {
    test("both directions, to the byte", () => {
      on.handshake();
      on.fromOutside({ flags: ack | psh, payload: Buffer.alloc(11) });
      on.fromWeb(reply({ payload: Buffer.alloc(7) }));
      expect(datapath.portCounts()).toEqual({
        [web]: {
          receive: { packets: 3, bytes: 3 * headers + 11 },
          transmit: { packets: 2, bytes: 2 * headers + 7 },
          opened: 1,
          refused: 0,
        },
      });
    });

    test("a GSO packet as its segments, each with its headers", () => {
      on.handshake();
      const gso = { segments: 3, size: 1000 };
      on.fromOutside({ flags: ack, payload: Buffer.alloc(2500) }, { gso });
      on.fromWeb(reply({ payload: Buffer.alloc(3000) }), { gso });
      expect(traffic()).toEqual({
        receive: { packets: 5, bytes: 5 * headers + 2500 },
        transmit: { packets: 4, bytes: 4 * headers + 3000 },
      });
    });

    test("of UDP, and each port by itself: the one on an address of its own, too", () => {
      on.fromOutside(query);
      on.fromWeb({ ...answered, payload: Buffer.alloc(9) });
      on.fromOutside({
        flags: syn,
        destination: address.hostSecond,
        destinationPort: published.onSecondAddress,
      });
      expect(traffic(dns)).toEqual({
        receive: { packets: 1, bytes: on.headerLength + 8 },
        transmit: { packets: 1, bytes: on.headerLength + 17 },
      });
      expect(packets(`tcp ${address.hostSecond} ${published.onSecondAddress}`)).toEqual([1, 0]);
      expect(packets()).toEqual([0, 0]);
    });

    test("down to the RST that ends it, and from the SYN that opens the next", () => {
      on.handshake();
      on.fromOutside({ flags: rst });
      on.handshake();
      expect(packets()).toEqual([5, 2]);
      expect(packets()).toEqual(all());
    });

    test("nothing of a connection that the container opens, masqueraded or within its network, nor of the host's own", () => {
      on.fromWeb({ flags: syn });
      on.fromOutside(on.answer({ flags: syn | ack }));
      on.fromDb({ flags: syn, destination: address.web, destinationPort: 80 });
      on.fromOutside({ flags: syn, destinationPort: 22 });
      on.toWeb({ flags: syn, source: address.host }, { arrivedBy: null });
      expect(datapath.portCounts()).toEqual({});
    });

    test("where a port has no number nothing is counted, and everything goes its way", () => {
      for (const { key, value } of datapath.entries<object, object>(on.mapName("ports")))
        datapath.write(on.mapName("ports"), key, { ...value, number: 0 });
      expect(on.fromOutside({ flags: syn }).verdict).toBe("redirect");
      on.toWeb({ flags: ack });
      expect(datapath.portCounts()).toEqual({});
    });
  });

  describe("of a connection that is restored", () => {
    test("by its opener's packet, or the container's answer", () => {
      for (const first of [() => on.fromOutside({ flags: ack }), () => on.fromWeb(reply({}))]) {
        datapath.reset();
        on.handshake();
        on.forgetFlows();
        expect(first().verdict).toBe("redirect");
        on.fromOutside({ flags: ack });
        on.fromWeb(reply({}));
        expect(packets()).toEqual(all());
        expect(all().reduce((a, b) => a + b)).toBe(6);
      }
    });

    test("one of before fairway, in both directions", () => {
      trackByKernel(toPort);
      on.fromWeb(reply({}));
      on.fromOutside({ flags: ack });
      expect(packets()).toEqual([1, 1]);
    });

    test("a masqueraded one has none, though its host port is published too", () => {
      trackByKernel({
        protocol: "tcp",
        from: { address: address.web, port: 50000 },
        to: { address: address.internet, port: 443 },
        fromAs: { address: address.host, port: published.tcp },
      });
      on.fromWeb({ flags: ack });
      on.fromOutside(on.answer({ flags: ack }, published.tcp));
      expect(on.flows()).toHaveLength(2);
      expect(datapath.portCounts()).toEqual({});
    });

    test("none of one whose port leads elsewhere by now: to another of the container's ports", () => {
      on.handshake();
      datapath.publish(on.family, protocolNumber.tcp, published.tcp, 81);
      on.forgetFlows();
      on.fromWeb(reply({}));
      on.fromOutside({ flags: ack });
      // What it was counted under, which is no port's any more.
      expect(Object.keys(datapath.portCounts())).not.toContain(web);
      expect(on.flows().map(({ flow }) => flow.portNumber)).toEqual([0, 0]);
    });

    test("nor of another port that has its number by now, once the epoch is another", () => {
      on.handshake();
      const [{ flow }] = on.flows() as [ReturnType<typeof on.flows>[0]];
      expect(flow.portNumber).toBeGreaterThan(0);
      datapath.remove(on.mapName("ports"), { address: any, port: published.tcp, proto: protocolNumber.tcp });
      datapath.write("control", 0, { epoch: 2, nextGeneration: 1, policy: 0 });
      const zero = {
        traffic: [nothing, nothing].map(() => ({ packets: 0n, bytes: 0n })),
        opened: 0n,
        refused: 0n,
      };
      datapath.write("port_counters", flow.portNumber, zero);
      const key = { address: any, port: 8888, proto: protocolNumber.tcp };
      const { generation } = datapath.endpoint(slot.web);
      const value = { slot: slot.web, generation, address: address.web, port: 88, number: flow.portNumber };
      datapath.write(on.mapName("ports"), key, value);
      on.fromOutside({ flags: ack });
      expect(on.fromWeb(reply({})).verdict).toBe("redirect");
      expect(datapath.portCounts()).toEqual({});
    });

    test("a container that is gone takes what names it along: nothing is counted of its connections", () => {
      on.handshake();
      const before = datapath.portCounts();
      datapath.clearSlot(slot.web);
      on.fromOutside({ flags: ack });
      on.fromWeb(reply({}));
      expect(datapath.portCounts()).toEqual(before);
    });
  });

  describe("on the slow path", () => {
    test("a connection that a firewall decides: what reaches the container and what it sends, from the first packet on", () => {
      filter();
      expect(on.fromOutside({ flags: syn }).verdict).toBe("next");
      // Refused by the firewall, it would not get there.
      expect(packets()).toEqual([0, 0]);
      trackByKernel({ ...toPort, state: "synSent" });
      on.toWeb({ flags: syn });
      on.fromWeb(on.reply({ flags: syn | ack }));
      expect(packets()).toEqual([1, 1]);
      expect(packets()).toEqual(all());
    });

    test("learned, each packet once on its way by the kernel, and on by the fast path", () => {
      filter();
      trackByKernel(toPort);
      expect(on.fromOutside({ flags: ack }).verdict).toBe("next");
      on.toWeb({ flags: ack, payload: Buffer.alloc(5) });
      expect(on.fromWeb(reply({})).verdict).toBe("next");
      on.toOutside({ flags: ack });
      expect(traffic()).toEqual({
        receive: { packets: 1, bytes: headers + 5 },
        transmit: { packets: 1, bytes: headers },
      });
      expect(on.fromOutside({ flags: ack }).verdict).toBe("redirect");
      expect(on.fromWeb(reply({ payload: Buffer.alloc(6) })).verdict).toBe("redirect");
      expect(traffic()).toEqual({
        receive: { packets: 2, bytes: 2 * headers + 5 },
        transmit: { packets: 2, bytes: 2 * headers + 6 },
      });
      // Its end is the kernel's.
      expect(on.fromOutside({ flags: fin | ack }).verdict).toBe("next");
      on.toWeb({ flags: fin | ack });
      expect(on.fromWeb(reply({ flags: rst })).verdict).toBe("next");
      expect(packets()).toEqual([3, 3]);
      expect(packets()).toEqual(all());
    });

    test("UDP, before it is answered and after", () => {
      filter();
      const toDns = { ...toPort, protocol: "udp", answered: false } as const;
      trackByKernel({
        ...toDns,
        to: { ...toPort.to, port: published.udp },
        toAs: { address: address.web, port: 53 },
      });
      on.fromOutside(query);
      on.toWeb(queryToWeb);
      on.fromWeb(answered);
      expect(packets(dns)).toEqual([1, 1]);
      expect(packets(dns)).toEqual(all());
    });

    test("a GSO packet as its segments", () => {
      filter();
      trackByKernel(toPort);
      const gso = { segments: 2, size: 1000 };
      on.toWeb({ flags: ack, payload: Buffer.alloc(1500) }, { gso });
      on.fromWeb(reply({ payload: Buffer.alloc(2000) }), { gso });
      expect(traffic()).toEqual({
        receive: { packets: 2, bytes: 2 * headers + 1500 },
        transmit: { packets: 2, bytes: 2 * headers + 2000 },
      });
    });

    test("what has a flow entry and goes to the kernel all the same: anchors, FINs, what is too big or too old", () => {
      on.handshake();
      for (const { key, flow } of on.flows())
        on.changeFlow(key, { created: secondsBefore(flow.created, 2), conntrackSynced: flow.lastSeen });
      expect(on.fromOutside({ flags: ack }).verdict).toBe("next");
      expect(datapath.reasons()).toEqual({ anchor: 1 });
      on.toWeb({ flags: ack });
      updateConntrackTcp(on.conntrack().map(({ original }) => ({ original, state: 3, liberal: true })));
      expect(on.fromWeb(reply({ flags: fin | ack })).verdict).toBe("next");
      expect(on.fromWeb(reply({ ttl: 1 })).verdict).toBe("next");
      const large = { payload: Buffer.alloc(1600) };
      expect(on.fromWeb(reply(large)).verdict).toBe("next");
      // It gets no further than the uplink.
      expect(on.fromOutside({ flags: ack, ttl: 1 }).verdict).toBe("next");
      expect(traffic()).toEqual({
        receive: { packets: 3, bytes: 3 * headers },
        transmit: { packets: 4, bytes: 4 * headers + 1600 },
      });
      expect(packets()).toEqual(all());
    });

    test("another container's, by the engine's NAT: towards the port and back, by both paths", () => {
      const hairpin = {
        ...toPort,
        from: { address: address.db, port: 50000 },
        fromAs: { address: address.gateway, port: 61000 },
      };
      filter();
      trackByKernel(hairpin);
      const toHost = { destination: address.host, destinationPort: published.tcp };
      const toGateway = { sourcePort: 80, destination: address.gateway, destinationPort: 61000 };
      on.fromDb({ flags: ack, ...toHost });
      on.toWeb({ flags: ack, source: address.gateway, sourcePort: 61000 }, byBridge);
      on.fromWeb({ flags: ack, ...toGateway });
      on.toDb(
        { flags: ack, source: address.host, sourcePort: published.tcp, destinationPort: 50000 },
        byBridge,
      );
      expect(packets()).toEqual([1, 1]);
      expect(on.fromDb({ flags: ack, ...toHost }).verdict).toBe("redirect");
      expect(on.fromWeb({ flags: ack, ...toGateway }).verdict).toBe("redirect");
      expect(packets()).toEqual([2, 2]);
      expect(packets()).toEqual(all());
    });

    test("nothing of docker-proxy's connections, nor of the host's own by the engine's NAT, in either direction", () => {
      filter();
      const fromHost = { ...toPort, from: { address: address.gateway, port: 40000 } };
      const answer = { flags: ack, sourcePort: 80, destination: address.gateway, destinationPort: 40000 };
      for (const connection of [{ ...fromHost, to: { address: address.web, port: 80 } }, fromHost]) {
        trackByKernel(connection);
        on.toWeb({ flags: syn, source: address.gateway }, { arrivedBy: null });
        on.fromWeb(answer);
        forget(on.conntrack());
      }
      expect(all()).toEqual([2, 2]);
      expect(datapath.portCounts()).toEqual({});
    });

    test("nothing of what has no ports to read: fragments, ICMP", () => {
      trackByKernel(toPort);
      if (on.family === 4) on.toWeb({ flags: ack, fragment: moreFragments });
      on.fromWeb({ protocol: "icmp", destination: address.client });
      expect(datapath.portCounts()).toEqual({});
    });

    test("nothing is looked for where no port of the container's that could be it is published", () => {
      const { published: bits, ...web } = datapath.endpoint(slot.web);
      trackByKernel(toPort);
      for (const none of [0n, bits & ~(1n << BigInt(80 % PUBLISHED_BITS))]) {
        datapath.write("endpoints", slot.web, { ...web, published: none });
        on.toWeb({ flags: fin | ack });
        on.fromWeb(reply({ ttl: 1 }));
      }
      expect(packets()).toEqual([0, 0]);
    });
  });
});
