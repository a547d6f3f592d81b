import { afterAll, beforeEach, describe, expect, test } from "vitest";
import type { Control, Endpoint } from "../../src/generated/types.js";
import { Datapath, ipv4, published, slot } from "./lib/datapath.js";
import { address } from "./lib/host.js";
import { tcpFlag } from "./lib/packet.js";

const datapath = new Datapath();
beforeEach(() => datapath.reset());
afterAll(() => datapath.close());

const { syn, ack } = tcpFlag;

describe("stale state can't misdirect", () => {
  test("a flow entry of a cleared slot is void: the packet is the kernel's, untouched", () => {
    datapath.fromOutside({ flags: syn });
    const web = datapath.read<Endpoint>("endpoints", slot.web);
    datapath.write("endpoints", slot.web, { ...web, generation: 0 });
    const run = datapath.fromOutside({ flags: ack });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ stale_flow: 1 });
  });

  test("a flow entry does not lead to the slot's next endpoint, even with the same address", () => {
    datapath.fromOutside({ protocol: "udp", destinationPort: published.udp });
    datapath.putEndpoint(slot.web, { ifindex: datapath.device.db0 });
    // The published port still names the old generation, as before the plan's next pass.
    const run = datapath.fromOutside({ protocol: "udp", destinationPort: published.udp });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.flows().some(({ key }) => key.ifindex === datapath.device.uplink0)).toBe(false);
  });

  test("a published port's entry of an older generation leads nowhere", () => {
    datapath.putEndpoint(slot.web, {});
    expect(datapath.fromOutside({ flags: syn }).verdict).toBe("next");
    expect(datapath.conntrack()).toHaveLength(0);
  });

  test("a conntrack entry that leads to another container is not adopted", () => {
    datapath.fromOutside({ flags: syn });
    for (const { key } of datapath.flows()) datapath.remove("flows", key);
    datapath.putEndpoint(slot.web, { address: ipv4("172.30.0.7") });
    datapath.publish(6, published.tcp, 80);
    expect(datapath.fromOutside({ flags: ack }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ conntrack_state: 1 });
    expect(datapath.flows()).toHaveLength(0);
  });

  test("a new epoch voids every entry, and the next packet restores it from conntrack", () => {
    datapath.fromOutside({ flags: syn });
    const record = datapath.read<Control>("control", 0);
    datapath.write("control", 0, { ...record, epoch: record.epoch + 1 });
    expect(datapath.fromOutside({ flags: ack }).verdict).toBe("redirect");
    expect(datapath.flows().every(({ flow }) => flow.epoch === record.epoch + 1)).toBe(true);
    expect(datapath.conntrack()).toHaveLength(1);
  });

  test("an unknown veth's packets are the kernel's", () => {
    datapath.remove("endpoint_devices", datapath.device.web0);
    expect(datapath.fromWeb({ flags: syn }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ endpoint_unknown: 1 });
  });
});

describe("what the flow table forgot", () => {
  test("is restored for a published port from either side", () => {
    datapath.fromOutside({ flags: syn });
    for (const { key } of datapath.flows()) datapath.remove("flows", key);
    const answer = { sourcePort: 80, destination: address.client, destinationPort: 40000, flags: syn | ack };
    expect(datapath.fromWeb(answer)).toMatchObject({ verdict: "redirect", packet: { source: address.host } });
    expect(datapath.flows()).toHaveLength(2);
    expect(datapath.conntrack()).toHaveLength(1);
  });

  test("a masqueraded connection keeps its mapping", () => {
    const first = datapath.fromWeb({ flags: syn });
    for (const { key } of datapath.flows()) datapath.remove("flows", key);
    const second = datapath.fromWeb({ flags: ack });
    expect(second.verdict).toBe("redirect");
    expect(second.packet.sourcePort).toBe(first.packet.sourcePort);
    expect(datapath.conntrack()).toHaveLength(1);
  });
});
