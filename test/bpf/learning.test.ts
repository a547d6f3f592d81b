import { expect, test } from "vitest";
import {
  type Control,
  EndpointIpFlags,
  FlowDirection,
  FlowOrigin,
  FlowState,
  SLOT_OUTSIDE,
} from "../../src/generated/types.js";
import { updateConntrackTcp } from "../../src/native/index.js";
import { about, type KernelConnection, tcpState, timeouts, trackByKernel } from "./lib/conntrack.js";
import { published, type Run, slot, useDatapath } from "./lib/datapath.js";
import { onBothFamilies, secondsBefore } from "./lib/family.js";
import { mac } from "./lib/host.js";
import { moreFragments, type PacketSpec, protocolNumber, tcpFlag } from "./lib/packet.js";

const datapath = useDatapath();
const { device } = datapath;
const { syn, ack, fin, rst, psh } = tcpFlag;
const right = { ipChecksumRight: true, l4ChecksumRight: true };
const multicast = { 4: "224.0.0.251", 6: "ff0e::fb" } as const;

onBothFamilies("learning", datapath, (on) => {
  const { address } = on;

  /** The client's connection to web's published port. */
  const toPort: KernelConnection = {
    protocol: "tcp",
    from: { address: address.client, port: 40000 },
    to: { address: address.host, port: published.tcp },
    toAs: { address: address.web, port: 80 },
  };
  /** web's own connection, masqueraded to a port of the kernel's choice. */
  const toInternet: KernelConnection = {
    protocol: "tcp",
    from: { address: address.web, port: 50000 },
    to: { address: address.internet, port: 443 },
    fromAs: { address: address.host, port: 61000 },
  };
  /** As it leaves by the uplink. */
  const masqueraded = { sourcePort: 61000, destination: address.internet, destinationPort: 443 };
  /** db to web by way of a published port: both NATs, so that the answer comes back through the host. */
  const hairpin: KernelConnection = {
    protocol: "tcp",
    from: { address: address.db, port: 50000 },
    to: { address: address.host, port: published.tcp },
    fromAs: { address: address.gateway, port: 61000 },
    toAs: { address: address.web, port: 80 },
  };
  const toWebFromDb = { source: address.gateway, sourcePort: 61000 };
  const backToDb = { source: address.host, sourcePort: published.tcp, destinationPort: 50000 };
  const byBridge = { arrivedBy: "br-app" } as const;

  /** Has web's new connections decided by the kernel, which made this one. */
  function given(connection: KernelConnection): void {
    on.changeWeb({ flags: EndpointIpFlags.MASQUERADE | EndpointIpFlags.FILTERED });
    trackByKernel(connection);
  }

  /** The client's connection, learned both ways. */
  function learned(): void {
    given(toPort);
    on.toWeb({});
    on.toOutside({});
    expect(on.flows()).toHaveLength(2);
  }

  function expectUntouched(run: Run): void {
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
  }

  test("what leaves to a container is learned as it had arrived from outside", () => {
    given(toPort);
    expectUntouched(on.toWeb({}));
    const { generation } = datapath.endpoint(slot.web);
    expect(on.flows()).toMatchObject([
      {
        key: {
          ifindex: device.uplink0,
          saddr: address.client,
          sport: 40000,
          daddr: address.host,
          dport: published.tcp,
          proto: protocolNumber.tcp,
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
          origin: FlowOrigin.LEARNED,
          flowDirection: FlowDirection.ORIGINAL,
          state: FlowState.ESTABLISHED,
          anchored: 1,
          provisional: 0,
          mtu: 1500,
        },
      },
    ]);
    expect(datapath.reasons()).toEqual({});
  });

  test("what leaves by an uplink is learned as the container had sent it", () => {
    given(toPort);
    expectUntouched(on.toOutside({}));
    const { generation } = datapath.endpoint(slot.web);
    expect(on.flows()).toMatchObject([
      {
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
          origin: FlowOrigin.LEARNED,
          flowDirection: FlowDirection.REPLY,
          state: FlowState.ESTABLISHED,
          mtu: 1500,
        },
      },
    ]);
  });

  test("a masqueraded connection's way outside and back is learned", () => {
    given(toInternet);
    on.toOutside(masqueraded);
    on.toWeb({ source: address.internet, sourcePort: 443, destinationPort: 50000 });
    expect(on.flowFrom(device.web0)).toMatchObject({
      saddr: address.host,
      sport: 61000,
      nextHop: address.router,
      flowDirection: FlowDirection.ORIGINAL,
    });
    expect(on.flowFrom(device.uplink0)).toMatchObject({
      daddr: address.web,
      dport: 50000,
      flowDirection: FlowDirection.REPLY,
    });
    expect(on.fromWeb({ flags: ack })).toMatchObject({
      verdict: "redirect",
      packet: { source: address.host, sourcePort: 61000, ...right },
    });
    expect(on.fromOutside(on.answer({ flags: ack }, 61000))).toMatchObject({
      verdict: "redirect",
      packet: { destination: address.web, destinationPort: 50000, ...right },
    });
  });

  test("the way's MTU is the route's and the uplink's", () => {
    datapath.putUplink("uplink1");
    const to = { address: address.behindUplink1, port: 443 };
    given({ ...toInternet, to, fromAs: { address: address.hostOnUplink1, port: 61000 } });
    on.withRouteMtu(address.behindUplink1, "uplink1", 1400, () => {
      const { before } = on.toOutside({
        ...masqueraded,
        source: address.hostOnUplink1,
        destination: address.behindUplink1,
        destinationMac: mac.outside1,
      });
      on.forgetFlows();
      datapath.run("uplink_egress", "uplink1", before, byBridge);
      expect(on.flowFrom(device.web0)?.mtu).toBe(1400);
    });
    datapath.putUplink("uplink0", { mtu: 1300 });
    trackByKernel(toInternet);
    on.forgetFlows();
    on.toOutside(masqueraded);
    expect(on.flowFrom(device.web0)?.mtu).toBe(1300);
  });

  test("a learned entry carries the next packets fast, rewritten, and counted", () => {
    learned();
    const { payload, ...there } = { payload: Buffer.from("odd"), flags: ack | psh };
    expect(on.fromOutside({ ...there, payload })).toMatchObject({
      verdict: "redirect",
      packet: {
        source: address.client,
        sourcePort: 40000,
        destination: address.web,
        destinationPort: 80,
        destinationMac: mac.web,
        sourceMac: mac.bridge,
        ttl: 63,
        payload,
        ...right,
      },
    });
    expect(on.fromWeb(on.reply({ ...there, payload }))).toMatchObject({
      verdict: "redirect",
      packet: { source: address.host, sourcePort: published.tcp, ttl: 63, payload, ...right },
    });
    const { receive, transmit } = datapath.counters(slot.web);
    expect([receive.fast.packets, receive.slow.packets]).toEqual([1, 1]);
    expect([transmit.fast.packets, transmit.slow.packets]).toEqual([1, 0]);
    expect(datapath.reasons()).toEqual({});
  });

  test("it keeps conntrack's entry alive", () => {
    learned();
    for (const { key, flow } of on.flows()) {
      on.changeFlow(key, { conntrackSynced: secondsBefore(flow.conntrackSynced, 2) });
    }
    on.fromOutside({ flags: ack });
    expect(on.conntrack()[0]?.timeout).toSatisfy(about(timeouts.established));
  });

  test("answered UDP is learned", () => {
    given({ ...toPort, protocol: "udp" });
    on.toWeb({ protocol: "udp" });
    on.toOutside({ protocol: "udp" });
    expect(on.fromOutside({ protocol: "udp" })).toMatchObject({
      verdict: "redirect",
      packet: { destination: address.web, destinationPort: 80, ...right },
    });
    expect(on.fromWeb(on.reply({ protocol: "udp" }))).toMatchObject({
      verdict: "redirect",
      packet: { source: address.host, sourcePort: published.tcp, ...right },
    });
  });

  test("UDP without an answer is not", () => {
    given({ ...toPort, protocol: "udp", answered: false });
    on.toWeb({ protocol: "udp" });
    on.toOutside({ protocol: "udp" });
    expect(on.flows()).toEqual([]);
  });

  test.each(["synSent", "finWait", "timeWait"] as const)("TCP in state %s is not", (state) => {
    given({ ...toPort, state });
    on.toWeb({});
    on.toOutside({});
    expect(on.flows()).toEqual([]);
  });

  test("what conntrack does not know is not", () => {
    on.toWeb({});
    on.toOutside({});
    expect(on.flows()).toEqual([]);
  });

  const notLearned: [string, Partial<PacketSpec>][] = [
    ["a SYN", { flags: syn }],
    ["a SYN-ACK", { flags: syn | ack }],
    ["a FIN", { flags: fin | ack }],
    ["a RST", { flags: rst }],
    ["a first fragment", { fragment: moreFragments }],
    ["a later fragment", { fragment: 185 }],
    on.family === 4
      ? ["a packet with options", { ipOptions: Buffer.from("94040000", "hex") }]
      : ["a packet with options", { extensions: [protocolNumber.destinationOptions] }],
    ["what is not TCP or UDP", { protocol: "icmp" }],
  ];

  test.each(notLearned)("nothing is learned from %s", (_name, spec) => {
    given(toPort);
    expectUntouched(on.toWeb({ payload: Buffer.alloc(30), ...spec }));
    expectUntouched(on.toOutside({ payload: Buffer.alloc(30), ...spec }));
    expect(on.flows()).toEqual([]);
  });

  test("nothing is learned from multicast", () => {
    const group = { address: multicast[on.family], port: 5353 };
    given({
      protocol: "udp",
      from: { address: address.web, port: 5353 },
      to: group,
      fromAs: { address: address.host, port: 5353 },
    });
    on.toOutside({ protocol: "udp", sourcePort: 5353, destination: group.address, destinationPort: 5353 });
    expect(on.flows()).toEqual([]);
  });

  test("nothing is learned from the host's own packets", () => {
    given(toPort);
    on.toWeb({}, { arrivedBy: null });
    on.toOutside({}, { arrivedBy: null });
    expect(on.flows()).toEqual([]);
    expect(datapath.reasons()).toEqual({ from_host: 1 });
  });

  test("what arrived by another uplink than its answers leave by is learned there", () => {
    datapath.putUplink("uplink1");
    given(toPort);
    on.toWeb({}, { arrivedBy: "uplink1" });
    on.toOutside({});
    expect(on.flowFrom(device.uplink0)).toBeUndefined();
    expect(on.flowFrom(device.uplink1)).toMatchObject({ ifindex: device.web0, daddr: address.web });
    expect(on.flowFrom(device.web0)).toMatchObject({ ifindex: device.uplink0, nextHop: address.client });
    const { before } = on.toWeb({
      source: address.client,
      destination: address.host,
      destinationPort: published.tcp,
      destinationMac: mac.uplink1,
    });
    expect(datapath.run("uplink_ingress", "uplink1", before).packet.destination).toBe(address.web);
    // The same tuple from the other uplink is not what was learned.
    expect(on.fromOutside({ flags: ack }).verdict).toBe("next");
  });

  test("what arrived by a device that is neither an uplink nor an endpoint's bridge is not learned", () => {
    given(toPort);
    on.toWeb({}, { arrivedBy: "br-other" });
    on.toWeb({}, { arrivedBy: "uplink1" });
    on.toOutside({}, { arrivedBy: "br-other" });
    on.toOutside({}, { arrivedBy: "uplink1" });
    expect(on.flows()).toEqual([]);
  });

  test("what is routed from one uplink to another is not learned", () => {
    datapath.putUplink("uplink1");
    trackByKernel({ ...toPort, toAs: { address: address.behindUplink1, port: 80 } });
    on.toOutside({}, { arrivedBy: "uplink1" });
    expect(on.flows()).toEqual([]);
  });

  test("the way of a source that is no endpoint's is not learned", () => {
    given({ ...toPort, toAs: { address: address.stranger, port: 80 } });
    on.toOutside({});
    expect(on.flows()).toEqual([]);
  });

  test("that of an endpoint which is gone is not", () => {
    given(toPort);
    datapath.clearSlot(slot.web);
    on.toOutside({});
    on.toWeb({});
    expect(on.flows()).toEqual([]);
  });

  test("an address of the container's that is not its endpoint's is not learned", () => {
    given({ ...toPort, toAs: { address: address.stranger, port: 80 } });
    on.toWeb({ destination: address.stranger });
    expect(on.flows()).toEqual([]);
  });

  test.each([
    ["another next hop's MAC than the route's", { destinationMac: mac.outside1 }],
    ["a next hop whose MAC is not known", { destination: address.unheard }],
  ])("%s is not learned: something chose that routing does not know", (_name, spec) => {
    given(toPort);
    trackByKernel({ ...toPort, from: { address: address.unheard, port: 40000 } });
    expectUntouched(on.toOutside(spec));
    expect(on.flows()).toEqual([]);
  });

  test("another device than the route's is not learned", () => {
    datapath.putUplink("uplink1");
    given(toPort);
    const { before } = on.toOutside({}, { arrivedBy: null });
    datapath.run("uplink_egress", "uplink1", before, byBridge);
    expect(on.flows()).toEqual([]);
  });

  test("an entry that holds is left alone", () => {
    learned();
    for (const { key } of on.flows()) on.changeFlow(key, { origin: FlowOrigin.MADE, sport: 7, created: 1 });
    on.toWeb({});
    on.toOutside({});
    expect(on.flows()).toHaveLength(2);
    for (const { flow } of on.flows()) {
      expect(flow).toMatchObject({ origin: FlowOrigin.MADE, sport: 7, created: 1 });
    }
  });

  test.each([
    [
      "another epoch",
      () => {
        const record = datapath.read<Control>("control", 0);
        datapath.write("control", 0, { ...record, epoch: record.epoch + 1 });
      },
    ],
    ["the endpoint's generation", () => on.changeWeb({})],
  ])("one that is void by %s is replaced, and counts once", (_name, change) => {
    learned();
    change();
    for (const { key } of on.flows()) on.changeFlow(key, { sport: 7 });
    on.toWeb({});
    on.toOutside({});
    const { epoch } = datapath.read<Control>("control", 0);
    const { generation } = datapath.endpoint(slot.web);
    expect(on.flowFrom(device.uplink0)).toMatchObject({ epoch, sport: 40000, toGeneration: generation });
    expect(on.flowFrom(device.web0)).toMatchObject({
      epoch,
      sport: published.tcp,
      fromGeneration: generation,
    });
    expect(datapath.flowTableCounters(on.family)).toEqual({ inserted: 2, deleted: 0 });
  });

  test("a hairpin between two containers is learned both ways, and both ends count", () => {
    given(hairpin);
    on.toWeb(toWebFromDb, byBridge);
    on.toDb(backToDb, byBridge);
    expect(on.flowFrom(device.db0)).toMatchObject({
      ifindex: device.web0,
      fromSlot: slot.db,
      toSlot: slot.web,
      saddr: address.gateway,
      daddr: address.web,
    });
    expect(on.flowFrom(device.web0)).toMatchObject({
      ifindex: device.db0,
      fromSlot: slot.web,
      toSlot: slot.db,
      saddr: address.host,
      daddr: address.db,
    });
    expect(on.fromDb({ destination: address.host, destinationPort: published.tcp })).toMatchObject({
      verdict: "redirect",
      packet: {
        source: address.gateway,
        sourcePort: 61000,
        destination: address.web,
        destinationPort: 80,
        destinationMac: mac.web,
        ttl: 63,
        ...right,
      },
    });
    expect(
      on.fromWeb({ sourcePort: 80, destination: address.gateway, destinationPort: 61000 }),
    ).toMatchObject({
      verdict: "redirect",
      packet: {
        source: address.host,
        sourcePort: published.tcp,
        destination: address.db,
        destinationPort: 50000,
        destinationMac: mac.db,
        ttl: 63,
        ...right,
      },
    });
    for (const at of [slot.web, slot.db]) {
      const { receive, transmit } = datapath.counters(at);
      expect([receive.fast.packets, transmit.fast.packets]).toEqual([1, 1]);
    }
  });

  test("a hairpin's RST takes both entries, whichever end sends it", () => {
    for (const reset of [
      () => on.fromDb({ flags: rst, destination: address.host, destinationPort: published.tcp }),
      () => on.fromWeb({ flags: rst, sourcePort: 80, destination: address.gateway, destinationPort: 61000 }),
    ]) {
      datapath.reset();
      given(hairpin);
      on.toWeb(toWebFromDb, byBridge);
      on.toDb(backToDb, byBridge);
      expect(on.flows()).toHaveLength(2);
      expectUntouched(reset());
      expect(on.flows()).toEqual([]);
    }
  });

  test("a hairpin whose other end is gone is void", () => {
    given(hairpin);
    on.toWeb(toWebFromDb, byBridge);
    datapath.clearSlot(slot.web);
    expectUntouched(on.fromDb({ destination: address.host, destinationPort: published.tcp }));
    expect(on.flows()).toEqual([]);
  });

  const controls: [string, number, "the client" | "the container"][] = [
    ["SYN", syn, "the client"],
    ["SYN-ACK", syn | ack, "the container"],
    ["RST", rst, "the client"],
    ["RST", rst | ack, "the container"],
  ];

  test.each(controls)("a %s (flags %i) of %s is the kernel's, and ends both entries", (_name, flags, who) => {
    learned();
    expectUntouched(who === "the client" ? on.fromOutside({ flags }) : on.fromWeb(on.reply({ flags })));
    expect(datapath.reasons()).toEqual({ tcp_control: 1 });
    expect(on.flows()).toEqual([]);
    expect(datapath.flowTableCounters(on.family)).toEqual({ inserted: 2, deleted: 2 });
    // What becomes of conntrack's entry is its own tracker's.
    expect(on.conntrack()[0]?.timeout).toSatisfy(about(300));
  });

  test("a RST of a connection learned one way ends that entry", () => {
    given(toPort);
    on.toWeb({});
    expectUntouched(on.fromOutside({ flags: rst }));
    expect(on.flows()).toEqual([]);
  });

  test.each(["the client", "the container"])(
    "a FIN of %s is the kernel's, and half-closed it goes on",
    (who) => {
      learned();
      const flags = fin | ack;
      expectUntouched(who === "the client" ? on.fromOutside({ flags }) : on.fromWeb(on.reply({ flags })));
      expect(datapath.reasons()).toEqual({ tcp_control: 1 });
      expect(on.flows().map(({ flow }) => flow.state)).toEqual([FlowState.CLOSING, FlowState.CLOSING]);
      expect(on.conntrack()[0]?.timeout).toSatisfy(about(300));
      expect(on.fromWeb(on.reply({ flags: ack, payload: Buffer.alloc(9) })).verdict).toBe("redirect");
      expect(on.fromOutside({ flags: ack, payload: Buffer.alloc(9) }).verdict).toBe("redirect");
    },
  );

  test("after a FIN both ways all of it is the kernel's", () => {
    learned();
    on.fromOutside({ flags: fin | ack });
    expectUntouched(on.fromWeb(on.reply({ flags: fin | ack })));
    expect(on.flows()).toEqual([]);
  });

  test("a FIN of a connection learned one way ends that entry: the other way's FIN and the last ACK are the kernel's", () => {
    given(toPort);
    on.toWeb({});
    expectUntouched(on.fromOutside({ flags: fin | ack }));
    expect(on.flows()).toEqual([]);
  });

  test("so does one whose other way's entry is void", () => {
    learned();
    for (const { key, flow } of on.flows())
      if (flow.flowDirection === FlowDirection.REPLY) on.changeFlow(key, { epoch: flow.epoch - 1 });
    expectUntouched(on.fromOutside({ flags: fin | ack }));
    expect(on.flows()).toEqual([]);
  });

  test("a half-closed one that stays busy is kept for as long as the kernel would", () => {
    learned();
    on.fromOutside({ flags: fin | ack });
    for (const { key, flow } of on.flows()) {
      on.changeFlow(key, { conntrackSynced: secondsBefore(flow.conntrackSynced, 2) });
    }
    on.fromWeb(on.reply({ flags: ack }));
    expect(on.conntrack()[0]?.timeout).toSatisfy(about(timeouts.finWait));
  });

  test("what we send out ourselves is not learned from again", () => {
    learned();
    on.fromWeb(on.reply({ flags: ack }));
    expect(datapath.flowTableCounters(on.family).inserted).toBe(2);
  });

  test.each([
    ["RST", rst],
    ["FIN", fin | ack],
  ])(
    "the other way of an asymmetric one is the kernel's again once its tracker has seen a %s",
    (_name, flags) => {
      datapath.putUplink("uplink1");
      given(toPort);
      on.toWeb({}, { arrivedBy: "uplink1" });
      on.toOutside({});
      expectUntouched(on.fromWeb(on.reply({ flags })));
      const state = flags & rst ? tcpState.close : tcpState.finWait;
      updateConntrackTcp(on.conntrack().map(({ original }) => ({ original, state, liberal: false })));
      for (const { key, flow } of on.flows()) {
        on.changeFlow(key, { conntrackSynced: secondsBefore(flow.conntrackSynced, 2) });
      }
      const { before } = on.fromOutside({ destinationMac: mac.uplink1 });
      const run = datapath.run("uplink_ingress", "uplink1", before);
      expectUntouched(run);
      expect(on.flowFrom(device.uplink1)).toBeUndefined();
      expect(on.conntrack()[0]?.timeout).toSatisfy(about(300));
    },
  );
});
