import { setTimeout } from "node:timers/promises";
import { expect, test } from "vitest";
import { type Control, FLOW_TICK_SHIFT, FlowDirection, FlowState } from "../../src/generated/types.js";
import { nsPerJiffy } from "../../src/native/index.js";
import {
  about,
  assured,
  forget,
  seenReply,
  setTcpState,
  setTimeoutOf,
  tcpState,
  timeouts,
} from "./lib/conntrack.js";
import { published, useDatapath } from "./lib/datapath.js";
import { onBothFamilies, secondsBefore } from "./lib/family.js";
import { tcpFlag } from "./lib/packet.js";

const datapath = useDatapath();
const { syn, ack, fin, rst } = tcpFlag;

onBothFamilies("conntrack and a TCP connection on the fast path", datapath, (on) => {
  const status = (): number => (on.conntrack()[0]?.status ?? 0) & (seenReply | assured);
  const seconds = (): number => on.conntrack()[0]?.timeout ?? -1;
  const states = (): number[] => on.flows().map(({ flow }) => flow.state);

  /** As if the flow entries were older, and conntrack not told for as long. */
  function age(by: number): void {
    for (const { key, flow } of on.flows()) {
      on.changeFlow(key, {
        created: secondsBefore(flow.created, by),
        conntrackSynced: secondsBefore(flow.conntrackSynced, by),
      });
    }
  }

  test("the entries' clock goes as fast as the kernel's", async () => {
    const lastSeen = () => {
      const from = process.hrtime.bigint();
      on.fromOutside({ flags: syn });
      const at = on.flowFrom(datapath.device.uplink0)?.lastSeen ?? 0;
      return { from, at, to: process.hrtime.bigint() };
    };
    const first = lastSeen();
    await setTimeout(300);
    const second = lastSeen();
    const gone = BigInt((second.at - first.at) >>> 0) << BigInt(FLOW_TICK_SHIFT);
    const coarse = BigInt(nsPerJiffy()) + (2n << BigInt(FLOW_TICK_SHIFT));
    expect(gone).toBeGreaterThanOrEqual(second.from - first.to - coarse);
    expect(gone).toBeLessThanOrEqual(second.to - first.from + coarse);
  });

  test("a SYN gives it the time that an answer may take", () => {
    on.fromOutside({ flags: syn });
    expect(status()).toBe(0);
    expect(seconds()).toSatisfy(about(timeouts.synSent));
    expect(states()).toEqual([FlowState.NEW, FlowState.NEW]);
  });

  test("a SYN-ACK marks it replied to", () => {
    on.fromOutside({ flags: syn });
    on.fromWeb(on.reply({ flags: syn | ack }));
    expect(status()).toBe(seenReply);
    expect(seconds()).toSatisfy(about(timeouts.synReceived));
  });

  test("the ACK after it makes it assured and established", () => {
    on.handshake();
    expect(status()).toBe(seenReply | assured);
    expect(seconds()).toSatisfy(about(timeouts.established));
    expect(states()).toEqual([FlowState.ESTABLISHED, FlowState.ESTABLISHED]);
  });

  test("is not assured by an ACK that no SYN-ACK came before", () => {
    on.fromOutside({ flags: syn });
    on.fromOutside({ flags: ack });
    expect(status()).toBe(0);
    expect(seconds()).toSatisfy(about(timeouts.synSent));
  });

  test("a masqueraded one is told of in the same way", () => {
    on.fromWeb({ flags: syn });
    expect(status()).toBe(0);
    on.fromOutside(on.answer({ flags: syn | ack }));
    expect(status()).toBe(seenReply);
    on.fromWeb({ flags: ack });
    expect(status()).toBe(seenReply | assured);
    expect(seconds()).toSatisfy(about(timeouts.established));
  });

  test("a FIN one way shortens the timeout, both ways closes it", () => {
    on.handshake();
    on.fromOutside({ flags: fin | ack });
    expect(seconds()).toSatisfy(about(timeouts.finWait));
    expect(states()).toEqual([FlowState.CLOSING, FlowState.CLOSING]);
    on.fromWeb(on.reply({ flags: fin | ack }));
    expect(seconds()).toSatisfy(about(timeouts.close));
    expect(states()).toEqual([FlowState.CLOSED, FlowState.CLOSED]);
  });

  test("a FIN does not close it together with one that an older connection's void entry has seen", () => {
    on.handshake();
    for (const { key, flow } of on.flows())
      if (flow.flowDirection === FlowDirection.REPLY)
        on.changeFlow(key, { epoch: flow.epoch - 1, finSeen: 1 });
    on.fromOutside({ flags: fin | ack });
    expect(seconds()).toSatisfy(about(timeouts.finWait));
  });

  test("an answer is the tracker's where it has seen the SYN, which went the slow way once more", () => {
    on.fromOutside({ flags: syn });
    setTcpState(on.conntrack(), tcpState.synSent);
    expect(on.fromWeb(on.reply({ flags: syn | ack })).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ tcp_control: 1 });
    expect(status()).toBe(0);
    expect(states()).toEqual([]);
  });

  test("a FIN is carried where the tracker has only seen a SYN: to it, it would be none of the connection's", () => {
    on.handshake();
    setTcpState(on.conntrack(), tcpState.synSent);
    expect(on.fromWeb(on.reply({ flags: fin | ack })).verdict).toBe("redirect");
    expect(seconds()).toSatisfy(about(timeouts.finWait));
  });

  test("a repeated FIN of one side does not close it", () => {
    on.handshake();
    on.fromOutside({ flags: fin | ack });
    on.fromOutside({ flags: fin | ack });
    expect(seconds()).toSatisfy(about(timeouts.finWait));
    expect(states()).toEqual([FlowState.CLOSING, FlowState.CLOSING]);
  });

  test("a half-closed one still carries data both ways", () => {
    on.handshake();
    on.fromOutside({ flags: fin | ack });
    expect(on.fromWeb(on.reply({ flags: ack, payload: Buffer.alloc(100) })).verdict).toBe("redirect");
    expect(on.fromOutside({ flags: ack }).verdict).toBe("redirect");
    expect(states()).toEqual([FlowState.CLOSING, FlowState.CLOSING]);
  });

  test("a half-closed one that stays busy is kept for as long as the kernel would", () => {
    on.handshake();
    on.fromOutside({ flags: fin | ack });
    age(2);
    on.fromWeb(on.reply({ flags: ack }));
    expect(seconds()).toSatisfy(about(timeouts.finWait));
  });

  test.each([
    ["the client", () => on.fromOutside({ flags: rst })],
    ["the container", () => on.fromWeb(on.reply({ flags: rst }))],
  ])(
    "a RST of %s ends its flow entries, and gives conntrack's the time to show that it was not taken",
    (_name, reset) => {
      on.handshake();
      expect(reset().verdict).toBe("redirect");
      expect(seconds()).toSatisfy(about(timeouts.finWait));
      expect(states()).toEqual([]);
    },
  );

  test.each([
    ["the client", () => on.fromOutside({ flags: ack, payload: Buffer.alloc(9) })],
    ["the container", () => on.fromWeb(on.reply({ flags: ack, payload: Buffer.alloc(9) }))],
  ])("what %s had sent before it heard of a RST is carried, and does not keep it alive", (_name, late) => {
    on.handshake();
    on.fromOutside({ flags: rst });
    expect(late().verdict).toBe("redirect");
    expect(seconds()).toSatisfy(about(timeouts.finWait));
  });

  test("a RST after a FIN closes it at once", () => {
    on.handshake();
    on.fromOutside({ flags: fin | ack });
    on.fromWeb(on.reply({ flags: rst }));
    expect(seconds()).toSatisfy(about(timeouts.close));
    expect(states()).toEqual([]);
  });

  test("the last ACK of a closed one is still carried, and its flow entries are gone", () => {
    on.handshake();
    on.fromOutside({ flags: fin | ack });
    on.fromWeb(on.reply({ flags: fin | ack }));
    expect(on.fromOutside({ flags: ack }).verdict).toBe("redirect");
    expect(seconds()).toSatisfy(about(timeouts.close));
    expect(states()).toEqual([]);
  });

  test("the last ACK sent twice does not bring it back to life", () => {
    on.handshake();
    on.fromWeb(on.reply({ flags: fin | ack }));
    on.fromOutside({ flags: fin | ack });
    on.fromWeb(on.reply({ flags: ack }));
    on.fromOutside({ flags: ack });
    expect(seconds()).toBeLessThanOrEqual(timeouts.finWait);
  });

  test("a FIN sent again after it, its answer lost, is carried", () => {
    on.handshake();
    on.fromOutside({ flags: fin | ack });
    on.fromWeb(on.reply({ flags: fin | ack }));
    on.fromOutside({ flags: ack });
    expect(on.fromWeb(on.reply({ flags: fin | ack })).verdict).toBe("redirect");
    expect(seconds()).toBeLessThanOrEqual(timeouts.finWait);
    expect(on.fromOutside({ flags: ack }).verdict).toBe("redirect");
    expect(seconds()).toBeLessThanOrEqual(timeouts.finWait);
  });

  test("a SYN on the closed tuple opens a new one, fast from its first packet", () => {
    on.handshake();
    on.fromOutside({ flags: rst });
    expect(on.fromOutside({ flags: syn }).verdict).toBe("redirect");
    expect(on.conntrack()).toHaveLength(1);
    expect(status()).toBe(0);
    expect(states()).toEqual([FlowState.NEW, FlowState.NEW]);
  });

  test("a masqueraded tuple is opened anew in the same way", () => {
    on.fromWeb({ flags: syn });
    on.fromOutside(on.answer({ flags: rst | ack }));
    expect(on.fromWeb({ flags: syn }).verdict).toBe("redirect");
    expect(on.conntrack()).toHaveLength(1);
    expect(states()).toEqual([FlowState.NEW, FlowState.NEW]);
  });

  test("a SYN of the answering side does not take the closed tuple over", () => {
    on.handshake();
    on.fromOutside({ flags: rst });
    const { packet } = on.fromWeb(on.reply({ flags: syn }));
    expect(packet).toMatchObject({ source: on.address.host, sourcePort: published.tcp });
    expect(on.conntrack()).toMatchObject([{ original: { saddr: on.address.client } }]);
    expect(status()).toBe(seenReply | assured);
  });

  test.each([
    ["a client's", () => on.fromOutside({ flags: syn }), () => on.fromWeb(on.reply({ flags: rst | ack }))],
    [
      "a container's",
      () => on.fromWeb({ flags: syn }),
      () => on.fromOutside(on.answer({ flags: rst | ack })),
    ],
    ["an abandoned", () => on.fromOutside({ flags: syn }), () => on.fromOutside({ flags: rst })],
  ])("nothing stays of %s connection whose SYN a RST follows", (_name, open, refuse) => {
    open();
    expect(refuse().verdict).toBe("redirect");
    expect(on.conntrack()).toEqual([]);
    expect(states()).toEqual([]);
    // And the next one has the tuple.
    expect(open().verdict).toBe("redirect");
    expect(on.conntrack()).toHaveLength(1);
  });

  test("one whose SYN was answered is not refused by a RST, but closed", () => {
    on.fromOutside({ flags: syn });
    on.fromWeb(on.reply({ flags: syn | ack }));
    on.fromOutside({ flags: rst });
    expect(on.conntrack()).toHaveLength(1);
    expect(seconds()).toSatisfy(about(timeouts.close));
  });

  test("nor is one that its opener had half closed, and the RST marks it replied to", () => {
    on.fromOutside({ flags: syn });
    on.fromOutside({ flags: fin | ack });
    on.fromWeb(on.reply({ flags: rst }));
    expect(status()).toBe(seenReply);
    expect(seconds()).toSatisfy(about(timeouts.close));
  });

  test("a SYN on an open connection does not disturb it", () => {
    on.handshake();
    expect(on.fromOutside({ flags: syn }).verdict).toBe("redirect");
    expect(status()).toBe(seenReply | assured);
    expect(on.conntrack()).toHaveLength(1);
  });

  test("a retransmitted SYN stays fast and keeps the one entry", () => {
    on.fromOutside({ flags: syn });
    expect(on.fromOutside({ flags: syn }).verdict).toBe("redirect");
    expect(on.conntrack()).toHaveLength(1);
  });

  test("a deleted entry voids the flow when conntrack is next told of it, and not before", () => {
    on.handshake();
    forget(on.conntrack());
    expect(on.fromOutside({ flags: ack }).verdict).toBe("redirect");
    age(2);
    expect(on.fromOutside({ flags: ack }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ no_flow: 1 });
  });

  test("a busy one's timeout is refreshed once in a second", () => {
    on.handshake();
    for (const entry of on.conntrack()) setTimeoutOf(entry, 100);
    on.fromOutside({ flags: ack });
    expect(seconds()).toSatisfy(about(100));
    age(2);
    for (const { key } of on.flows()) on.changeFlow(key, { anchored: 1 });
    on.fromOutside({ flags: ack });
    expect(seconds()).toSatisfy(about(timeouts.established));
  });

  test.each([
    ["spent: it waits", 10_000, 0, 2, 100],
    ["not spent yet", 9_999, 0, 2, timeouts.established],
    ["spent in the second before", 10_000, 2, 2, timeouts.established],
    ["spent, for 8 s and no longer", 10_000, 0, 9, timeouts.established],
  ])("a CPU's refreshes of this second are %s", (_name, used, ago, unseen, expected) => {
    on.handshake();
    for (const entry of on.conntrack()) setTimeoutOf(entry, 100);
    const begin = secondsBefore(on.flows()[0]?.flow.created ?? 0, ago);
    datapath.writePerCpu("sync_budgets", 0, { begin, used });
    age(unseen);
    for (const { key } of on.flows()) on.changeFlow(key, { anchored: 1 });
    expect(on.fromOutside({ flags: ack }).verdict).toBe("redirect");
    expect(seconds()).toSatisfy(about(expected));
  });

  test("one that lives shows the kernel's tracker one packet of its opener, once", () => {
    on.handshake();
    expect(on.fromOutside({ flags: ack }).verdict).toBe("redirect");
    age(2);
    expect(on.fromWeb(on.reply({ flags: ack })).verdict).toBe("redirect");
    const run = on.fromOutside({ flags: ack });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ anchor: 1 });
    expect(on.fromOutside({ flags: ack }).verdict).toBe("redirect");
  });

  // Nor a SYN: in the tracker's eyes the connection would only begin, and its answers be invalid.
  test.each([
    ["FIN", fin | ack],
    ["RST", rst],
    ["SYN", syn],
  ])("no %s is spent on that", (_name, flags) => {
    on.handshake();
    age(2);
    expect(on.fromOutside({ flags }).verdict).toBe("redirect");
    expect(datapath.reasons()).toEqual({});
  });

  test.each([
    ["the client", () => on.fromOutside({ flags: ack })],
    ["the container", () => on.fromWeb(on.reply({ flags: ack }))],
  ])("one whose SYN came to the tracker late is restored by %s's packet", (_name, next) => {
    on.handshake();
    setTcpState(on.conntrack(), tcpState.synSent);
    const record = datapath.read<Control>("control", 0);
    datapath.write("control", 0, { ...record, epoch: record.epoch + 1 });
    expect(next().verdict).toBe("redirect");
    expect(states()).toHaveLength(2);
  });
});

onBothFamilies("conntrack and UDP on the fast path", datapath, (on) => {
  const query = { protocol: "udp", destinationPort: published.udp } as const;
  const answer = on.reply({ protocol: "udp", sourcePort: 53 } as const);
  const status = (): number => (on.conntrack()[0]?.status ?? 0) & (seenReply | assured);
  const seconds = (): number => on.conntrack()[0]?.timeout ?? -1;

  test("a first datagram gives it the time that an answer may take", () => {
    on.fromOutside(query);
    expect(status()).toBe(0);
    expect(seconds()).toSatisfy(about(timeouts.udp));
  });

  test("an answer marks it replied to, a second datagram does not make it assured", () => {
    on.fromOutside(query);
    on.fromWeb(answer);
    on.fromOutside(query);
    expect(status()).toBe(seenReply);
    expect(seconds()).toSatisfy(about(timeouts.udp));
  });

  test.each([
    ["younger than two seconds is none", 1.5, seenReply, timeouts.udp],
    ["older is one", 2.5, seenReply | assured, timeouts.udpStream],
  ])("a stream both ways that is %s", (_name, age, expected, kept) => {
    on.fromOutside(query);
    on.fromWeb(answer);
    for (const { key, flow } of on.flows()) {
      on.changeFlow(key, {
        created: secondsBefore(flow.created, age),
        conntrackSynced: secondsBefore(flow.conntrackSynced, age),
      });
    }
    on.fromOutside(query);
    expect(status()).toBe(expected);
    expect(seconds()).toSatisfy(about(kept));
  });

  test.each([
    ["waits for its turn", 3, 10_000, 100],
    ["does not wait for longer than 8 s", 9, 10_000, timeouts.udp],
    ["is refreshed where there is one left", 3, 9_999, timeouts.udp],
  ])("a busy one on a CPU with very many %s", (_name, age, used, expected) => {
    on.fromOutside(query);
    for (const entry of on.conntrack()) setTimeoutOf(entry, 100);
    for (const { key, flow } of on.flows()) {
      on.changeFlow(key, {
        conntrackSynced: secondsBefore(flow.conntrackSynced, age),
        state: FlowState.ESTABLISHED,
      });
      datapath.write("sync_budgets", 0, { begin: flow.lastSeen, used });
    }
    on.fromOutside(query);
    expect(seconds()).toSatisfy(about(expected));
  });

  test("one way only is never a stream", () => {
    on.fromOutside(query);
    for (const { key, flow } of on.flows()) {
      on.changeFlow(key, {
        created: secondsBefore(flow.created, 10),
        conntrackSynced: secondsBefore(flow.conntrackSynced, 10),
        state: FlowState.ESTABLISHED,
      });
    }
    on.fromOutside(query);
    expect(status()).toBe(0);
    expect(seconds()).toSatisfy(about(timeouts.udp));
  });
});
