import { describe, expect, it } from "vitest";
import { isStale } from "../../../src/datapath/conntrack.js";

const port = { addresses: new Set(["198.18.0.1", "172.17.0.1"]), port: 53, containerAddress: "172.17.0.2" };

function entry(proto: number, daddr: string, dport: number, answeredBy: string) {
  const client = "198.18.0.9";
  return {
    original: { family: 4 as const, proto, saddr: client, daddr, sport: 4000, dport },
    reply: { family: 4 as const, proto, saddr: answeredBy, daddr: client, sport: dport, dport: 4000 },
  };
}

describe("isStale", () => {
  it("is what the kernel took for the host's own, or leads to a former container", () => {
    expect(isStale(entry(17, "198.18.0.1", 53, "198.18.0.1"), port)).toBe(true);
    expect(isStale(entry(17, "172.17.0.1", 53, "172.17.0.9"), port)).toBe(true);
  });

  it("is not what leads to the container, nor another port, address or protocol", () => {
    expect(isStale(entry(17, "198.18.0.1", 53, "172.17.0.2"), port)).toBe(false);
    expect(isStale(entry(17, "198.18.0.1", 54, "198.18.0.1"), port)).toBe(false);
    expect(isStale(entry(17, "198.18.0.2", 53, "198.18.0.2"), port)).toBe(false);
    expect(isStale(entry(6, "198.18.0.1", 53, "198.18.0.1"), port)).toBe(false);
  });
});
