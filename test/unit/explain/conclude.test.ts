import { describe, expect, test } from "vitest";
import { conclude, type Flows, type Run } from "../../../src/explain/conclude.js";
import type { Parties } from "../../../src/explain/ends.js";
import type { Packet } from "../../../src/explain/frame.js";
import type { FlowEntry } from "../../../src/explain/known.js";
import type { World } from "../../../src/explain/world.js";
import {
  Direction,
  type Endpoint,
  endpointCodec,
  FlowOrigin,
  flowIpv4Codec,
  Reason,
  SLOT_OUTSIDE,
  Verdict,
} from "../../../src/generated/index.js";
import type { NetLink } from "../../../src/native/index.js";

const ETH0 = 2;
const VETH = 3;
const link = (ifindex: number, name: string): [number, NetLink] => [
  ifindex,
  { ifindex, name, type: 1, flags: 1, mtu: 1500 },
];
const endpoint: Endpoint = {
  ...endpointCodec.decode(Buffer.alloc(endpointCodec.size)),
  generation: 1,
  ifindex: VETH,
  ipv4: { address: "172.17.0.2", snatAddress: "0.0.0.0", flags: 0 },
};
const web = { slot: 7, endpoint, container: "web", network: "app" };
const world: World = {
  endpoints: [web],
  uplinks: new Map(),
  devices: new Map([link(ETH0, "eth0"), link(VETH, "veth1")]),
  hostAddresses: new Set(["198.18.0.1"]),
  route: () => undefined,
};
const packet: Packet = {
  protocol: "tcp",
  source: "203.0.113.7",
  destination: "198.18.0.1",
  sourcePort: 50_000,
  destinationPort: 8080,
  established: false,
};
const outside: Parties = {
  family: 4,
  source: { kind: "outside", address: "203.0.113.7" },
  destination: { kind: "host", address: "198.18.0.1" },
};

const run = (changes: Partial<Run>): Run => ({
  hook: { program: "uplink_ingress", ifindex: ETH0, arrivedBy: ETH0 },
  verdict: "next",
  frame: Buffer.alloc(0),
  reasons: [],
  fast: [],
  packet,
  ...changes,
});
const delivered = run({ verdict: "redirect", fast: [{ slot: 7, direction: Direction.RECEIVE }] });

function entry(origin: FlowOrigin, created: number, toSlot = 7): FlowEntry {
  const empty = flowIpv4Codec.decode(Buffer.alloc(flowIpv4Codec.size));
  return { ...empty, flow: { ...empty.flow, origin, created, toSlot, ifindex: toSlot === 7 ? VETH : ETH0 } };
}
const none: Flows = { before: undefined, after: undefined };
const told = (runs: Run[], flows: Flows = none, parties = outside) =>
  conclude(packet, runs, flows, parties, world);

describe("what is concluded of a packet that has been run through the programs", () => {
  test("fast, with how its flow entry came about", () => {
    const made = entry(FlowOrigin.MADE, 5);
    const fast = {
      verdict: "fast",
      reason: null,
      to: { container: "web", network: "app", device: "veth1" },
      by: "veth1",
    };
    expect(told([delivered], { before: undefined, after: made })).toMatchObject({
      ...fast,
      flow: "new",
      why: "reaches web@app by veth1, as a new connection",
    });
    expect(told([delivered], { before: made, after: made })).toMatchObject({ ...fast, flow: "made" });
    // One that did not hold any more, and was made anew.
    expect(told([delivered], { before: made, after: entry(FlowOrigin.MADE, 9) })).toMatchObject({
      flow: "new",
    });
    for (const [origin, flow] of [
      [FlowOrigin.ADOPTED, "adopted"],
      [FlowOrigin.LEARNED, "learned"],
    ] as const)
      expect(told([delivered], { before: undefined, after: entry(origin, 5) })).toMatchObject({
        ...fast,
        flow,
      });
    expect(told([delivered])).toMatchObject(fast);
    expect(told([delivered])).not.toHaveProperty("flow");
  });

  test("fast, to the outside or to the host", () => {
    const sent = run({ verdict: "redirect", fast: [{ slot: 7, direction: Direction.TRANSMIT }] });
    const after = entry(FlowOrigin.MADE, 5, SLOT_OUTSIDE);
    const out = conclude(
      { ...packet, destination: "203.0.113.9" },
      [sent],
      { before: undefined, after },
      outside,
      world,
    );
    expect(out).toMatchObject({ to: null, by: "eth0", why: "leaves by eth0, as a new connection" });
    expect(told([sent])).toMatchObject({ to: null, why: "reaches the host by eth0" });
  });

  test("dropped, by whichever program, and whether the sender is told", () => {
    const reasons = [{ reason: Reason.SOURCE_DENIED, verdict: Verdict.DROP, slot: undefined }];
    const xdp = run({
      hook: { program: "uplink_xdp", ifindex: ETH0, arrivedBy: ETH0 },
      verdict: "drop",
      reasons,
    });
    expect(told([xdp])).toMatchObject({
      verdict: "drop",
      reason: "source_denied",
      steps: [{ device: "eth0", program: "uplink_xdp", verdict: "drop", reasons: ["source_denied"] }],
    });
    const unreachable = [{ reason: Reason.UNREACHABLE, verdict: Verdict.DROP, slot: 7 }];
    const refused = run({
      verdict: "redirect",
      reasons: unreachable,
      fast: [{ slot: 7, direction: Direction.RECEIVE }],
    });
    expect(told([refused])).toMatchObject({
      verdict: "drop",
      reason: "unreachable",
      why: expect.stringMatching(/; its sender is told by ICMP$/),
    });
  });

  test("left to the kernel, with the last program's reason, or with what nobody counts", () => {
    const filtered = [{ reason: Reason.FILTERED, verdict: Verdict.SLOW, slot: 7 }];
    expect(told([run({}), run({ reasons: filtered })])).toMatchObject({
      verdict: "slow",
      reason: "filtered",
    });
    const why = (parties: Partial<Parties>, destination = "198.18.0.1") =>
      conclude({ ...packet, destination }, [run({})], none, { ...outside, ...parties }, world).why;
    expect(why({})).toMatch(/the host's own: no container has published 8080\/tcp there$/);
    expect(
      why({ destination: { kind: "endpoint", known: web, address: "172.17.0.2" } }, "172.17.0.2"),
    ).toMatch(/a container's own address/);
    expect(why({}, "203.0.113.9")).toMatch(/for no container, and not for the host$/);
    expect(why({ source: { kind: "endpoint", known: web, address: "172.17.0.2" } })).toMatch(/sent as it is/);
  });

  test("the packet after a program is told where it has changed it", () => {
    const changed = { ...packet, destination: "172.17.0.2", destinationPort: 80 };
    expect(told([run({}), { ...delivered, packet: changed }]).steps.map((step) => step.packet)).toEqual([
      undefined,
      changed,
    ]);
  });
});
