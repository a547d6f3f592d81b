import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { Datapath, slot } from "./lib/datapath.js";
import { address, mac } from "./lib/host.js";
import { frame, tcpFlag } from "./lib/packet.js";

const datapath = new Datapath();
beforeEach(() => datapath.reset());
afterAll(() => datapath.close());

const { syn, ack } = tcpFlag;

describe("packets and bytes of an endpoint", () => {
  test("bytes are the IP packet's, both directions on the fast path", () => {
    datapath.fromOutside({ flags: syn });
    datapath.fromWeb({
      flags: syn | ack,
      sourcePort: 80,
      destination: address.client,
      destinationPort: 40000,
    });
    const { receive, transmit } = datapath.counters(slot.web);
    expect(receive).toEqual({ fast: { packets: 1, bytes: 40 }, slow: { packets: 0, bytes: 0 } });
    expect(transmit).toEqual({ fast: { packets: 1, bytes: 40 }, slow: { packets: 0, bytes: 0 } });
  });

  test("a GSO packet counts as its segments, each with its headers", () => {
    datapath.fromOutside({ flags: syn });
    const payload = Buffer.alloc(3000);
    datapath.fromOutside({ flags: ack, payload }, { gso: { segments: 3, size: 1000 } });
    expect(datapath.counters(slot.web).receive.fast).toEqual({ packets: 4, bytes: 40 + 3 * 1040 });
  });

  test("what the kernel forwards for the container counts as slow, with its reason", () => {
    datapath.fromWeb({ protocol: 1, payload: Buffer.alloc(64) });
    expect(datapath.counters(slot.web).transmit).toEqual({
      fast: { packets: 0, bytes: 0 },
      slow: { packets: 1, bytes: 84 },
    });
    expect(datapath.reasons()).toEqual({ not_tcp_udp: 1 });
  });

  test("what the kernel delivers to the container counts as slow", () => {
    const data = frame({
      sourceMac: mac.bridge,
      destinationMac: mac.web,
      source: address.client,
      destination: address.web,
      payload: Buffer.alloc(10),
    });
    expect(datapath.run("endpoint_egress", "web0", data).verdict).toBe("next");
    expect(datapath.counters(slot.web).receive.slow).toEqual({ packets: 1, bytes: 50 });
  });
});
