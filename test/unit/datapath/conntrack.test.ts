import type { Logger } from "pino";
import { describe, expect, it } from "vitest";
import { deleteConnectionsOf, deleteStaleUdp, isStale } from "../../../src/datapath/conntrack.js";
import { listConntrack } from "../../../src/native/index.js";
import { enterNewNamespace, run } from "../native/support.js";

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

/* With real entries, in a network namespace of its own. */

const log = {
  error: (_: unknown, message: string) => {
    throw new Error(message);
  },
} as unknown as Logger;

/** A UDP connection from a client to `daddr`, answered by `replySource`. */
function insert(saddr: string, daddr: string, replySource: string, sport: number): void {
  run(
    ...(["conntrack", "-I", "-p", "udp", "-s", saddr, "-d", daddr, "-t", "300"] as const),
    ...["-r", replySource, "-q", saddr, "--sport", String(sport), "--dport", "53"],
    ...["--reply-port-src", "53", "--reply-port-dst", String(sport)],
  );
}

const left = () =>
  ([4, 6] as const).flatMap((family) => listConntrack(family).map((e) => e.original.sport)).sort();

const net = { 4: (n: number) => `198.18.7.${n}`, 6: (n: number) => `2001:db8:7::${n}` } as const;

describe("deleteConnectionsOf", () => {
  it.each([
    ["asked for each", 1],
    ["listed", 20],
  ])("deletes what containers of both families had, and nothing else: %s", (_how, count) => {
    enterNewNamespace();
    for (const family of [4, 6] as const) {
      const address = net[family];
      insert(address(1), address(200), address(200), 1000 + family);
      insert(address(200), address(201), address(1), 2000 + family);
      insert(address(200), address(201), address(201), 3000 + family);
      insert(address(99), address(200), address(200), 4000 + family);
    }
    const gone = new Set(
      [4, 6].flatMap((family) => Array.from({ length: count }, (_, i) => net[family as 4 | 6](i + 1))),
    );
    deleteConnectionsOf(gone, log);
    expect(left()).toEqual([3004, 3006, 4004, 4006]);
  });
});

describe("deleteStaleUdp", () => {
  it("deletes what leads elsewhere than the port does now, in its own family", () => {
    enterNewNamespace();
    for (const family of [4, 6] as const) {
      insert(net[family](200), net[family](5), net[family](5), 1000 + family);
      insert(net[family](200), net[family](5), net[family](1), 2000 + family);
    }
    const fresh = {
      family: 6 as const,
      addresses: new Set([net[6](5)]),
      port: 53,
      containerAddress: net[6](1),
    };
    expect(deleteStaleUdp([fresh], log)).toBe(1);
    expect(left()).toEqual([1004, 2004, 2006]);
  });
});
