import { describe, expect, it } from "vitest";
import { familyMaps } from "../../../src/datapath/families.js";
import { handOver } from "../../../src/datapath/handover.js";
import { FlowDirection, FlowState, mapDefinitions } from "../../../src/generated/index.js";
import type { Family } from "../../../src/ip.js";

const ends = {
  4: { saddr: "198.18.0.9", daddr: "198.18.0.1" },
  6: { saddr: "2001:db8::9", daddr: "2001:db8::1" },
} as const;

function bytes(
  family: Family,
  proto: number,
  flowDirection: number,
  state: number,
): [Family, Buffer, Buffer] {
  const { key, value } = mapDefinitions[familyMaps.flows[family]];
  const entry = value.decode(Buffer.alloc(value.size));
  return [
    family,
    key.encode({ ifindex: 5, ...ends[family], sport: 40000, dport: 8080, proto }),
    value.encode({ ...entry, flow: { ...entry.flow, flowDirection, state } }),
  ];
}

describe.each([4, 6] as const)("handOver of IPv%i", (family) => {
  it("names a connection by the original direction's own tuple", () => {
    expect(handOver(...bytes(family, 6, FlowDirection.ORIGINAL, FlowState.ESTABLISHED))).toEqual({
      original: { family, proto: 6, ...ends[family], sport: 40000, dport: 8080 },
      state: 3,
      onlyFrom: 0,
      liberal: true,
    });
  });

  it("leaves out answers, UDP and what is closed", () => {
    expect(handOver(...bytes(family, 6, FlowDirection.REPLY, FlowState.ESTABLISHED))).toBeUndefined();
    expect(handOver(...bytes(family, 17, FlowDirection.ORIGINAL, FlowState.ESTABLISHED))).toBeUndefined();
    expect(handOver(...bytes(family, 6, FlowDirection.ORIGINAL, FlowState.CLOSED))).toBeUndefined();
    expect(handOver(...bytes(family, 6, FlowDirection.ORIGINAL, FlowState.CLOSING))).toBeDefined();
  });
});
