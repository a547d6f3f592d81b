/** What BPF_PROG_TEST_RUN can't show: the programs attached, on a device without Ethernet headers, and hardware VLAN tags. */
import { createSocket } from "node:dgram";
import { beforeAll, beforeEach, expect, test, vi } from "vitest";
import { EndpointIpFlags, FlowOrigin } from "../../src/generated/types.js";
import { trackByKernel } from "./lib/conntrack.js";
import { published, slot, useDatapath } from "./lib/datapath.js";
import { onBothFamilies } from "./lib/family.js";
import { mac } from "./lib/host.js";
import { attached, sendOutside, useLive } from "./lib/live.js";
import {
  frame,
  ipPacket,
  type PacketSpec,
  type ParsedPacket,
  parsePacket,
  protocolNumber,
  tcpFlag,
} from "./lib/packet.js";

const datapath = useDatapath();
const { device } = datapath;
const { container, tun } = useLive();
const { syn, ack, rst } = tcpFlag;
const right = { ipChecksumRight: true, l4ChecksumRight: true };

beforeEach(() => {
  datapath.putEndpoint(slot.web, { ifindex: container.ifindex, mtu: 65_535 });
  datapath.publishDefaults(4);
  datapath.publishDefaults(6);
  datapath.putUplink("tun0", { mtu: 65_535 });
  tun.received.length = 0;
});

onBothFamilies("an uplink without Ethernet (tun0)", datapath, (on) => {
  const { address } = on;
  const peer = address.behindTun;
  const transports: number[] = [protocolNumber.tcp, protocolNumber.udp];

  /** From the tun's other end to the host's published port. */
  const fromPeer = (spec: Partial<PacketSpec>): Buffer =>
    ipPacket({
      sourceMac: mac.outside,
      destinationMac: mac.uplink,
      source: peer,
      sourcePort: 40000,
      destination: address.host,
      destinationPort: published.tcp,
      ...spec,
    });

  /** What has left by tun0, that is TCP or UDP to the peer. */
  function left(): ParsedPacket[] {
    return tun.received
      .filter((packet) => packet.readUInt8(0) >> 4 === on.family)
      .filter((packet) => transports.includes(packet.readUInt8(on.family === 4 ? 9 : 6)))
      .map(parsePacket);
  }

  const withPrograms = (work: () => Promise<void>): Promise<void> =>
    attached(
      datapath,
      [
        ["uplink_ingress_l3", device.tun0, "ingress"],
        ["uplink_egress_l3", device.tun0, "egress"],
        ["endpoint_ingress", container.ifindex, "ingress"],
        ["endpoint_egress", container.ifindex, "egress"],
      ],
      work,
    );

  const fast = (): { receive: number; transmit: number } => {
    const { receive, transmit } = datapath.counters(slot.web);
    return { receive: receive.fast.packets, transmit: transmit.fast.packets };
  };

  // The host says something to the peer, so that its neighbour table knows the device.
  beforeAll(async () => {
    const socket = createSocket(`udp${on.family}`);
    await new Promise((resolve) => socket.send("hello", 9, peer, resolve));
    socket.close();
    await vi.waitFor(() => expect(left()).toHaveLength(1));
  });

  test("a SYN arrives in the container, whose refusal leaves with the host's address", async () => {
    await withPrograms(async () => {
      tun.send(fromPeer({ flags: syn }));
      await vi.waitFor(() => expect(left()).toHaveLength(1), { timeout: 3000 });
    });
    expect(left()[0]).toMatchObject({
      source: address.host,
      sourcePort: published.tcp,
      destination: peer,
      destinationPort: 40000,
      flags: rst | ack,
      ttl: 63,
      ...right,
    });
    expect(fast()).toEqual({ receive: 1, transmit: 1 });
    expect(on.conntrack()).toEqual([]);
  });

  test("a container's datagram leaves masqueraded, and the answer arrives", async () => {
    await withPrograms(async () => {
      container.datagram(50000, peer, 53, "question");
      await vi.waitFor(() => expect(left()).toHaveLength(1), { timeout: 3000 });
      expect(left()[0]).toMatchObject({
        source: address.host,
        sourcePort: 50000,
        destination: peer,
        destinationPort: 53,
        ...right,
      });
      expect(left()[0]?.payload.toString()).toBe("question");
      tun.send(
        fromPeer({ protocol: "udp", sourcePort: 53, destinationPort: 50000, payload: Buffer.from("answer") }),
      );
      await vi.waitFor(() => expect(fast()).toEqual({ receive: 1, transmit: 1 }), { timeout: 3000 });
    });
  });

  test("what the kernel sends out by it is learned, and then carried", async () => {
    const part = `ipv${on.family}` as const;
    const web = datapath.endpoint(slot.web);
    datapath.write("endpoints", slot.web, {
      ...web,
      [part]: { ...web[part], flags: EndpointIpFlags.FILTERED },
    });
    trackByKernel({
      protocol: "udp",
      from: { address: address.web, port: 50000 },
      to: { address: peer, port: 53 },
    });
    await withPrograms(async () => {
      container.datagram(50000, peer, 53, "first");
      await vi.waitFor(() => expect(left()).toHaveLength(1), { timeout: 3000 });
      expect(fast()).toEqual({ receive: 0, transmit: 0 });
      expect(on.flowFrom(container.ifindex)).toMatchObject({
        origin: FlowOrigin.LEARNED,
        ifindex: device.tun0,
        fromSlot: slot.web,
      });
      container.datagram(50000, peer, 53, "second");
      await vi.waitFor(() => expect(left()).toHaveLength(2), { timeout: 3000 });
    });
    expect(left()[1]).toMatchObject({ source: address.web, sourcePort: 50000, ttl: 63, ...right });
    expect(fast()).toEqual({ receive: 0, transmit: 1 });
  });

  test("a packet too large to be given a header is dropped, with its reason", async () => {
    const query = { protocol: "udp", destinationPort: published.udp } as const;
    await withPrograms(async () => {
      tun.send(fromPeer(query));
      await vi.waitFor(() => expect(fast().receive).toBe(1), { timeout: 3000 });
      tun.send(fromPeer({ ...query, payload: Buffer.alloc(40_000) }));
      await vi.waitFor(() => expect(datapath.reasons("drop")).toEqual({ rewrite_failed: 1 }), {
        timeout: 3000,
      });
    });
  });
});

onBothFamilies("a VLAN tag", datapath, (on) => {
  const tagged = (bytes: Buffer): Buffer =>
    Buffer.concat([bytes.subarray(0, 12), Buffer.from("81000007", "hex"), bytes.subarray(12)]);
  const spec = (protocol: "tcp" | "udp"): PacketSpec => ({
    sourceMac: mac.web,
    destinationMac: mac.bridge,
    source: on.address.web,
    sourcePort: 50000,
    destination: on.address.internet,
    destinationPort: 443,
    protocol,
    flags: syn,
  });

  test.each([
    ["to its gateway", {}],
    ["to a neighbour", { destinationMac: mac.db, destination: on.address.db }],
  ])("of a container's frame %s makes it the kernel's", async (_name, changes) => {
    await attached(datapath, [["endpoint_ingress", container.ifindex, "ingress"]], async () => {
      container.frame(tagged(frame({ ...spec("udp"), ...changes })));
      await vi.waitFor(() => expect(datapath.reasons()).toMatchObject({ not_ip: 1 }), { timeout: 3000 });
      expect(on.flows()).toEqual([]);
      expect(datapath.counters(slot.web).transmit.fast.packets).toBe(0);
      // It was the tag.
      container.frame(frame({ ...spec("udp"), ...changes }));
      await vi.waitFor(() => expect(datapath.counters(slot.web).transmit.fast.packets).toBe(1), {
        timeout: 3000,
      });
    });
  });

  test("of a frame from outside makes it the kernel's, silently", async () => {
    const toPort = {
      ...spec("tcp"),
      sourceMac: mac.outside,
      destinationMac: mac.uplink,
      source: on.address.client,
      destination: on.address.host,
      destinationPort: published.tcp,
    };
    await attached(datapath, [["uplink_ingress", device.uplink0, "ingress"]], async () => {
      sendOutside(tagged(frame(toPort)));
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(on.flows()).toEqual([]);
      expect(datapath.reasons()).toEqual({});
      sendOutside(frame(toPort));
      await vi.waitFor(() => expect(on.flows()).toHaveLength(2), { timeout: 3000 });
    });
  });
});
