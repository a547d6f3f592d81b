import { expect, test } from "vitest";
import { FlowOrigin, FlowState } from "../../src/generated/types.js";
import { about, setTcpState, tcpState, timeouts, trackByKernel } from "./lib/conntrack.js";
import { published, useDatapath } from "./lib/datapath.js";
import { onBothFamilies, secondsBefore } from "./lib/family.js";
import { tcpFlag } from "./lib/packet.js";

const datapath = useDatapath();
const { device } = datapath;
const { syn, ack, fin, rst } = tcpFlag;

onBothFamilies(
  "a connection that the kernel made, to an endpoint without rules of others",
  datapath,
  (on) => {
    const { address } = on;
    const toPort = {
      protocol: "tcp",
      from: { address: address.client, port: 40000 },
      to: { address: address.host, port: published.tcp },
      toAs: { address: address.web, port: 80 },
    } as const;
    const toInternet = {
      protocol: "tcp",
      from: { address: address.web, port: 50000 },
      to: { address: address.internet, port: 443 },
      fromAs: { address: address.host, port: 61000 },
    } as const;

    test("is taken over from the client's packet", () => {
      trackByKernel(toPort);
      const { verdict, packet } = on.fromOutside({ flags: ack });
      expect(verdict).toBe("redirect");
      expect(packet).toMatchObject({ destination: address.web, destinationPort: 80 });
      expect(on.flows()).toHaveLength(2);
      expect(on.flows().every(({ flow }) => flow.origin === FlowOrigin.ADOPTED && flow.anchored === 1)).toBe(
        true,
      );
    });

    test("is taken over from the container's packet", () => {
      trackByKernel(toPort);
      const { verdict, packet } = on.fromWeb(on.reply({ flags: ack }));
      expect(verdict).toBe("redirect");
      expect(packet).toMatchObject({ source: address.host, sourcePort: published.tcp });
    });

    test("keeps the mapping that the kernel's masquerading chose", () => {
      trackByKernel(toInternet);
      const { verdict, packet } = on.fromWeb({ flags: ack });
      expect(verdict).toBe("redirect");
      expect(packet).toMatchObject({ source: address.host, sourcePort: 61000 });
      expect(on.fromOutside(on.answer({ flags: ack }, 61000)).packet).toMatchObject({
        destination: address.web,
        destinationPort: 50000,
      });
    });

    test("UDP that was answered is taken over", () => {
      trackByKernel({ ...toInternet, protocol: "udp" });
      expect(on.fromWeb({ protocol: "udp" }).packet.sourcePort).toBe(61000);
    });

    test("UDP that was not answered yet is not", () => {
      trackByKernel({ ...toInternet, protocol: "udp", answered: false });
      expect(on.fromWeb({ protocol: "udp" }).verdict).toBe("next");
      expect(datapath.reasons()).toEqual({ conntrack_state: 1 });
    });

    test.each(["synSent", "finWait", "timeWait"] as const)("TCP in state %s is not", (state) => {
      trackByKernel({ ...toInternet, state });
      expect(on.fromWeb({ flags: ack }).verdict).toBe("next");
      expect(datapath.reasons()).toEqual({ conntrack_state: 1 });
      expect(on.flows()).toHaveLength(0);
    });

    test.each(["timeWait", "close"] as const)(
      "a SYN takes the tuple of one over that a FIN brought into %s",
      (state) => {
        trackByKernel({ ...toInternet, state });
        const { verdict, packet } = on.fromWeb({ flags: syn });
        expect(verdict).toBe("redirect");
        expect(packet.sourcePort).toBe(50000);
        expect(on.conntrack()).toHaveLength(1);
      },
    );

    // The kernel ignores such a SYN, and is told by its answer whether there is a new connection.
    test.each([
      ["a half-closed one's", { state: "finWait" }],
      ["an established one's", { state: "established" }],
      ["one's that is being opened from both sides", { state: "synSent2" }],
    ] as const)("a SYN does not take %s over", (_name, how) => {
      trackByKernel({ ...toInternet, ...how });
      const run = on.fromWeb({ flags: syn });
      expect(run.verdict).toBe("next");
      expect(run.bytes).toEqual(run.before);
      expect(datapath.reasons()).toEqual({ conntrack_state: 1 });
      expect(on.conntrack()).toMatchObject([{ reply: { dport: 61000 }, tcpState: tcpState[how.state] }]);
      expect(on.flows()).toEqual([]);
    });

    test.each([
      ["the client", () => on.fromOutside({ flags: syn | ack })],
      ["the container", () => on.fromWeb(on.reply({ flags: syn | ack }))],
    ])("a SYN-ACK of %s does not take an established one over", (_name, answer) => {
      trackByKernel(toPort);
      const run = answer();
      expect(run.verdict).toBe("next");
      expect(run.bytes).toEqual(run.before);
      expect(datapath.reasons()).toEqual({ conntrack_state: 1 });
      expect(on.flows()).toEqual([]);
    });

    test("a SYN of the answering side does not take a closed one's over", () => {
      trackByKernel({ ...toPort, state: "timeWait" });
      const run = on.fromWeb(on.reply({ flags: syn }));
      expect(run.verdict).toBe("next");
      expect(run.bytes).toEqual(run.before);
      expect(datapath.reasons()).toEqual({ conntrack_state: 1 });
      expect(on.conntrack()).toMatchObject([{ original: { saddr: address.client } }]);
    });

    test("docker-proxy's, which ends at the host, is not", () => {
      trackByKernel({ ...toPort, toAs: toPort.to });
      const run = on.fromOutside({ flags: ack });
      expect(run.verdict).toBe("next");
      expect(run.bytes).toEqual(run.before);
      expect(datapath.reasons()).toEqual({ conntrack_state: 1 });
      expect(on.flows()).toHaveLength(0);
    });

    test("a connection of the host's own from a port that is published too is not", () => {
      trackByKernel({
        protocol: "tcp",
        from: { address: address.host, port: published.tcp },
        to: { address: address.client, port: 40000 },
      });
      expect(on.fromOutside({ flags: ack }).verdict).toBe("next");
      expect(datapath.reasons()).toEqual({ conntrack_state: 1 });
    });

    test.each([
      ["the client", () => on.fromOutside({ flags: fin | ack })],
      ["the container", () => on.fromWeb(on.reply({ flags: fin | ack }))],
    ])("a FIN of %s is the tracker's, and half-closed it goes on", (_name, finish) => {
      trackByKernel(toPort);
      on.fromOutside({ flags: ack });
      const run = finish();
      expect(run.verdict).toBe("next");
      expect(run.bytes).toEqual(run.before);
      expect(datapath.reasons()).toEqual({ tcp_control: 1 });
      // What becomes of conntrack's entry is not ours to say.
      expect(on.conntrack()[0]?.timeout).toSatisfy(about(300));
      expect(on.flows().map(({ flow }) => flow.state)).toEqual([FlowState.CLOSING, FlowState.CLOSING]);
      expect(on.fromWeb(on.reply({ flags: ack })).verdict).toBe("redirect");
      expect(on.fromOutside({ flags: ack }).verdict).toBe("redirect");
      expect(finish().verdict).toBe("next");
      expect(on.flows()).toHaveLength(2);
    });

    test("after a FIN both ways all of it is the tracker's", () => {
      trackByKernel(toPort);
      on.fromOutside({ flags: ack });
      on.fromOutside({ flags: fin | ack });
      expect(on.fromWeb(on.reply({ flags: fin | ack })).verdict).toBe("next");
      expect(datapath.reasons()).toEqual({ tcp_control: 2 });
      expect(on.flows()).toEqual([]);
    });

    test("a RST after a FIN is the tracker's too", () => {
      trackByKernel(toPort);
      on.fromOutside({ flags: ack });
      on.fromOutside({ flags: fin | ack });
      setTcpState(on.conntrack(), tcpState.finWait);
      expect(on.fromWeb(on.reply({ flags: rst })).verdict).toBe("next");
      expect(on.flows()).toEqual([]);
    });

    test("its RST is carried and told to conntrack", () => {
      trackByKernel(toPort);
      on.fromOutside({ flags: ack });
      expect(on.fromWeb(on.reply({ flags: rst })).verdict).toBe("redirect");
      expect(on.conntrack()[0]?.timeout).toSatisfy(about(timeouts.finWait));
      expect(on.flows()).toEqual([]);
    });

    test("it is not shown to the kernel's tracker once more", () => {
      trackByKernel(toPort);
      on.fromOutside({ flags: ack });
      on.fromWeb(on.reply({ flags: ack }));
      for (const { key, flow } of on.flows())
        on.changeFlow(key, { created: secondsBefore(flow.created, 10) });
      expect(on.flowFrom(device.uplink0)?.anchored).toBe(1);
      expect(on.fromOutside({ flags: ack }).verdict).toBe("redirect");
      expect(datapath.reasons()).toEqual({});
    });
  },
);
