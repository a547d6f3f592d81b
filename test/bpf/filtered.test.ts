import { expect, test } from "vitest";
import { EndpointIpFlags, FlowOrigin, FlowState } from "../../src/generated/types.js";
import { updateConntrackTcp } from "../../src/native/index.js";
import { tcpState, trackByKernel } from "./lib/conntrack.js";
import { published, useDatapath } from "./lib/datapath.js";
import { onBothFamilies, secondsBefore } from "./lib/family.js";
import { tcpFlag } from "./lib/packet.js";

const datapath = useDatapath();
const { device } = datapath;
const { syn, ack, fin } = tcpFlag;

onBothFamilies("where a firewall's rules may concern an endpoint", datapath, (on) => {
  const { address } = on;
  const query = { protocol: "udp", destinationPort: published.udp } as const;

  function filter(): void {
    on.changeWeb({ flags: EndpointIpFlags.MASQUERADE | EndpointIpFlags.FILTERED });
  }

  /** The kernel's tracker has seen it: it is no longer in state NONE. */
  function show(): void {
    updateConntrackTcp(
      on.conntrack().map(({ original }) => ({ original, state: tcpState.established, liberal: true })),
    );
  }

  function expectKernels(run: ReturnType<typeof on.fromOutside>, reason: string): void {
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ [reason]: 1 });
  }

  test.each([
    ["TCP", { flags: syn }],
    ["UDP", query],
  ] as const)("a new %s connection from outside is the kernel's to decide", (_name, spec) => {
    filter();
    expectKernels(on.fromOutside(spec), "filtered");
    expect(on.conntrack()).toHaveLength(0);
    expect(on.flows()).toHaveLength(0);
  });

  test.each([
    ["TCP", { flags: syn }],
    ["UDP", { protocol: "udp" }],
  ] as const)("a container's new %s connection is the kernel's to decide", (_name, spec) => {
    filter();
    expectKernels(on.fromWeb(spec), "filtered");
    expect(on.conntrack()).toHaveLength(0);
  });

  test("only in the family that it says", () => {
    filter();
    const other = on.family === 4 ? "ipv6" : "ipv4";
    expect(datapath.endpoint(1)[other].flags).toBe(EndpointIpFlags.MASQUERADE);
  });

  test("an established connection's packets from its opener are the kernel's too", () => {
    on.handshake();
    on.forgetFlows();
    filter();
    expectKernels(on.fromOutside({ flags: ack }), "filtered");
    expect(on.flows()).toHaveLength(0);
  });

  test("so are its answers, where the kernel's tracker has seen it", () => {
    on.handshake();
    show();
    on.forgetFlows();
    filter();
    expectKernels(on.fromWeb(on.reply({ flags: ack })), "filtered");
    expect(on.flows()).toHaveLength(0);
  });

  test("answers of one that the tracker has not seen go on, in an entry that holds until it has", () => {
    on.handshake();
    on.forgetFlows();
    filter();
    expect(on.fromWeb(on.reply({ flags: ack })).verdict).toBe("redirect");
    expect(on.flows()).toHaveLength(1);
    expect(on.flowFrom(device.web0)).toMatchObject({ provisional: 1, origin: FlowOrigin.ADOPTED });
    // Its opener's packets go through the kernel meanwhile.
    expect(on.fromOutside({ flags: ack }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ filtered: 1 });
  });

  test("and no longer", () => {
    on.handshake();
    on.forgetFlows();
    filter();
    on.fromWeb(on.reply({ flags: ack }));
    show();
    for (const { key, flow } of on.flows()) {
      on.changeFlow(key, { conntrackSynced: secondsBefore(flow.conntrackSynced, 2) });
    }
    expectKernels(on.fromWeb(on.reply({ flags: ack })), "filtered");
    expect(on.flows()).toHaveLength(0);
  });

  test("a masqueraded connection's answers go on provisionally in the same way", () => {
    on.fromWeb({ flags: syn });
    on.fromOutside(on.answer({ flags: syn | ack }));
    on.fromWeb({ flags: ack });
    on.forgetFlows();
    filter();
    const { verdict, packet } = on.fromOutside(on.answer({ flags: ack }));
    expect(verdict).toBe("redirect");
    expect(packet.destination).toBe(address.web);
    expect(on.flowFrom(device.uplink0)?.provisional).toBe(1);
    expect(on.fromWeb({ flags: ack }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ filtered: 1 });
  });

  test("a provisional answer's FIN is carried, and closes nothing more than its side", () => {
    on.handshake();
    on.forgetFlows();
    filter();
    expect(on.fromWeb(on.reply({ flags: fin | ack })).verdict).toBe("redirect");
    expect(on.flowFrom(device.web0)?.state).toBe(FlowState.CLOSING);
  });

  test("UDP answers are the kernel's: there is no tracker that would refuse them", () => {
    on.fromOutside(query);
    on.fromWeb(on.reply({ protocol: "udp", sourcePort: 53 }));
    on.forgetFlows();
    filter();
    expectKernels(on.fromWeb(on.reply({ protocol: "udp", sourcePort: 53 })), "filtered");
  });

  test("datagrams without an answer yet are not taken over: each may be refused", () => {
    on.fromOutside(query);
    on.forgetFlows();
    filter();
    expectKernels(on.fromOutside(query), "conntrack_state");
  });

  test("flows that were there before it was filtered are void only with the epoch", () => {
    on.handshake();
    const web = datapath.endpoint(1);
    const part = `ipv${on.family}` as const;
    datapath.write("endpoints", 1, { ...web, [part]: { ...web[part], flags: EndpointIpFlags.FILTERED } });
    expect(on.fromOutside({ flags: ack }).verdict).toBe("redirect");
    datapath.write("control", 0, { epoch: 2, nextGeneration: 1, policy: 0 });
    expectKernels(on.fromOutside({ flags: ack }), "filtered");
  });

  test("a connection that the kernel made is not adopted", () => {
    filter();
    trackByKernel({
      protocol: "tcp",
      from: { address: address.client, port: 40000 },
      to: { address: address.host, port: published.tcp },
      toAs: { address: address.web, port: 80 },
    });
    expectKernels(on.fromOutside({ flags: ack }), "filtered");
    expect(on.fromWeb(on.reply({ flags: ack })).verdict).toBe("next");
    expect(on.flows()).toHaveLength(0);
  });
});
