import { describe, expect, it } from "vitest";
import { handOver } from "../../../src/datapath/handover.js";
import { FlowDirection, FlowState, flowCodec, flowKeyCodec } from "../../../src/generated/index.js";
import { parseIpv4 } from "../../../src/ipv4.js";

function bytes(proto: number, flowDirection: number, state: number): [Buffer, Buffer] {
  const key = flowKeyCodec.encode({
    ifindex: 5,
    saddr: parseIpv4("198.18.0.9") ?? 0,
    daddr: parseIpv4("198.18.0.1") ?? 0,
    sport: 40000,
    dport: 8080,
    proto,
  });
  const flow = { ...flowCodec.decode(Buffer.alloc(flowCodec.size)), flowDirection, state };
  return [key, flowCodec.encode(flow)];
}

describe("handOver", () => {
  it("names a connection by the original direction's own tuple", () => {
    expect(handOver(...bytes(6, FlowDirection.ORIGINAL, FlowState.ESTABLISHED))).toEqual({
      original: { family: 4, proto: 6, saddr: "198.18.0.9", daddr: "198.18.0.1", sport: 40000, dport: 8080 },
      state: 3,
      onlyFrom: 0,
      liberal: true,
    });
  });

  it("leaves out answers, UDP and what is closed", () => {
    expect(handOver(...bytes(6, FlowDirection.REPLY, FlowState.ESTABLISHED))).toBeUndefined();
    expect(handOver(...bytes(17, FlowDirection.ORIGINAL, FlowState.ESTABLISHED))).toBeUndefined();
    expect(handOver(...bytes(6, FlowDirection.ORIGINAL, FlowState.CLOSED))).toBeUndefined();
    expect(handOver(...bytes(6, FlowDirection.ORIGINAL, FlowState.CLOSING))).toBeDefined();
  });
});
