import { expect, test } from "vitest";
import { type Control, DEVICE_SLOTS, FlowOrigin } from "../../src/generated/types.js";
import { published, slot, useDatapath } from "./lib/datapath.js";
import { onBothFamilies } from "./lib/family.js";
import { tcpFlag } from "./lib/packet.js";

const datapath = useDatapath();
const { device } = datapath;
const { syn, ack } = tcpFlag;

onBothFamilies("stale state can't misdirect", datapath, (on) => {
  const { address } = on;

  test("a flow entry to a cleared slot is void: the packet is the kernel's, untouched", () => {
    on.fromOutside({ flags: syn });
    datapath.clearSlot(slot.web);
    const run = on.fromOutside({ flags: ack });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ stale_flow: 1 });
    expect(on.flowFrom(device.uplink0)).toBeUndefined();
  });

  test("a flow entry from a cleared slot is void", () => {
    on.fromWeb({ flags: syn });
    datapath.clearSlot(slot.web);
    const run = on.fromWeb({ flags: ack });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ endpoint_unknown: 1 });
  });

  test("a flow entry from an endpoint does not hold for the next one at that device", () => {
    on.fromWeb({ flags: syn });
    datapath.putEndpoint(slot.web);
    const run = on.fromWeb({ flags: ack });
    // Adopted anew from conntrack, since its address is the same.
    expect(run.verdict).toBe("redirect");
    const { generation } = datapath.endpoint(slot.web);
    expect(on.flowFrom(device.web0)).toMatchObject({
      origin: FlowOrigin.ADOPTED,
      fromSlot: slot.web,
      fromGeneration: generation,
    });
    expect(on.flowFrom(device.uplink0)?.toGeneration).toBe(generation);
  });

  test("an end of a flow that is another endpoint now voids it, whichever end", () => {
    on.handshake();
    const flows = on.flows();
    for (const { key } of flows) {
      const end = key.ifindex === device.web0 ? "fromSlot" : "toSlot";
      on.changeFlow(key, { [end]: slot.db });
    }
    expect(on.fromOutside({ flags: ack }).verdict).toBe("redirect");
    expect(datapath.flowTableCounters(on.family).deleted).toBe(1);
    expect(on.flows().every(({ flow }) => flow.origin === FlowOrigin.ADOPTED)).toBe(true);
  });

  test("a flow entry does not lead to the slot's next endpoint, even with the same address", () => {
    on.fromOutside({ protocol: "udp", destinationPort: published.udp });
    datapath.putEndpoint(slot.web, { ifindex: device.db0 });
    // The published port still names the old generation, as before the plan's next pass.
    const run = on.fromOutside({ protocol: "udp", destinationPort: published.udp });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(on.flowFrom(device.uplink0)).toBeUndefined();
  });

  test("a published port's entry of an older generation leads nowhere", () => {
    datapath.putEndpoint(slot.web);
    expect(on.fromOutside({ flags: syn }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ stale_flow: 1 });
    expect(on.conntrack()).toHaveLength(0);
  });

  test("a conntrack entry that leads to another container is not adopted", () => {
    on.fromOutside({ flags: syn });
    on.forgetFlows();
    on.changeWeb({ address: address.stranger });
    expect(on.fromOutside({ flags: ack }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ conntrack_state: 1 });
    expect(on.flows()).toHaveLength(0);
  });

  test("a new epoch voids every entry, and the next packet restores it from conntrack", () => {
    on.fromOutside({ flags: syn });
    const record = datapath.read<Control>("control", 0);
    datapath.write("control", 0, { ...record, epoch: record.epoch + 1 });
    expect(on.fromOutside({ flags: ack }).verdict).toBe("redirect");
    expect(on.flows().every(({ flow }) => flow.epoch === record.epoch + 1)).toBe(true);
    expect(on.flows()).toHaveLength(2);
    expect(on.conntrack()).toHaveLength(1);
  });

  test("an unknown veth's packets are the kernel's", () => {
    datapath.remove("endpoint_devices", device.web0);
    const run = on.fromWeb({ flags: syn });
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.reasons()).toEqual({ endpoint_unknown: 1 });
  });

  test("a veth that was found before is found without being looked up, until its endpoint is gone", () => {
    on.fromWeb({ flags: syn });
    datapath.remove("endpoint_devices", device.web0);
    expect(on.fromWeb({ flags: ack }).verdict).toBe("redirect");
    expect(on.toWeb({}).verdict).toBe("next");
    expect(datapath.counters(slot.web).receive.slow.packets).toBe(1);
    datapath.clearSlot(slot.web);
    expect(on.fromWeb({ flags: ack }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ endpoint_unknown: 1 });
  });

  test("a veth whose number ends as another's is told from it, whichever was found last", () => {
    const place = device.web0 % DEVICE_SLOTS;
    datapath.write("device_slots", place, slot.db);
    expect(on.fromWeb({ flags: syn }).verdict).toBe("redirect");
    expect(datapath.counters(slot.web).transmit.fast.packets).toBe(1);
    expect(datapath.counters(slot.db).transmit.fast.packets).toBe(0);
    expect(datapath.read<number>("device_slots", place)).toBe(slot.web);
  });

  test("a veth whose endpoint is of an older generation is unknown", () => {
    const { generation } = datapath.endpoint(slot.web);
    datapath.putEndpoint(slot.web);
    datapath.write("endpoint_devices", device.web0, { slot: slot.web, generation });
    expect(on.fromWeb({ flags: syn }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ endpoint_unknown: 1 });
    expect(on.toWeb({}).verdict).toBe("next");
    expect(datapath.counters(slot.web).receive.slow.packets).toBe(0);
  });
});

onBothFamilies("what the flow table forgot", datapath, (on) => {
  const { address } = on;

  test("is restored for a published port from either side", () => {
    on.fromOutside({ flags: syn });
    on.forgetFlows();
    expect(on.fromWeb(on.reply({ flags: syn | ack }))).toMatchObject({
      verdict: "redirect",
      packet: { source: address.host },
    });
    expect(on.flows()).toHaveLength(2);
    expect(on.conntrack()).toHaveLength(1);
    on.forgetFlows();
    expect(on.fromOutside({ flags: ack }).verdict).toBe("redirect");
    expect(on.flows()).toHaveLength(2);
  });

  test("a masqueraded connection keeps its mapping", () => {
    const first = on.fromWeb({ flags: syn });
    on.forgetFlows();
    const second = on.fromWeb({ flags: ack });
    expect(second.verdict).toBe("redirect");
    expect(second.packet.sourcePort).toBe(first.packet.sourcePort);
    expect(on.conntrack()).toHaveLength(1);
  });

  test("a masqueraded connection's answers are restored though its port is published too", () => {
    expect(on.fromWeb({ flags: syn, sourcePort: published.tcp }).packet.sourcePort).toBe(published.tcp);
    const record = datapath.read<Control>("control", 0);
    datapath.write("control", 0, { ...record, epoch: record.epoch + 1 });
    expect(on.fromOutside(on.answer({ flags: syn | ack }, published.tcp))).toMatchObject({
      verdict: "redirect",
      packet: { destination: address.web, destinationPort: published.tcp },
    });
    expect(datapath.reasons()).toEqual({});
    expect(on.conntrack()).toHaveLength(1);
    // Towards another peer the port is the published one still.
    expect(on.fromOutside({ flags: syn }).packet.destinationPort).toBe(80);
  });

  test("is of the kernel's tracker's state already where that has seen the connection", () => {
    on.handshake();
    on.forgetFlows();
    on.fromOutside({ flags: ack });
    expect(on.flows().every(({ flow }) => flow.anchored === 0)).toBe(true);
  });
});
