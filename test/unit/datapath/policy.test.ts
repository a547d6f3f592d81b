import { pino } from "pino";
import { beforeEach, describe, expect, test } from "vitest";
import { PolicyApplier } from "../../../src/datapath/policy.js";
import { listEntries, sourceBlocks } from "../../../src/datapath/policy_lists.js";
import {
  mapDefinitions,
  PolicyFlags,
  type PortPolicy,
  SourceBlock,
  SourceVerdict,
} from "../../../src/generated/index.js";
import { formatNetwork, type Network, parseNetwork } from "../../../src/networks.js";
import type { PlannedPolicy, PlannedPortPolicy } from "../../../src/plan/policy_types.js";
import { type FakeMaps, fakeMaps } from "./scene.js";

const net = (text: string): Network => {
  const network = parseNetwork(text);
  if ("problem" in network) throw new Error(network.problem);
  return network;
};
const nets = (...texts: string[]) => texts.map(net);

const policy = (change: Partial<PlannedPolicy> = {}): PlannedPolicy => ({
  sources: { allow: [], deny: [] },
  ports: [],
  xdp: [],
  ...change,
});
const port = (change: Partial<PlannedPortPolicy> = {}): PlannedPortPolicy => ({
  containerId: "c1",
  proto: "tcp",
  address: "0.0.0.0",
  port: 8080,
  list: { allow: nets("198.18.0.0/16"), deny: [] },
  unlistedRefused: true,
  limit: undefined,
  ...change,
});

let fakes: FakeMaps;
let applier: PolicyApplier;
beforeEach(() => {
  fakes = fakeMaps();
  applier = new PolicyApplier(fakes.maps, pino({ level: "silent" }));
});

/** "NETWORK of LIST: VERDICT" */
function sources(): string[] {
  return (["sources_ipv4", "sources_ipv6"] as const).flatMap((name) =>
    [...fakes.maps[name].entries()].map(({ key, value }) => {
      const network = formatNetwork({ address: key.network, prefixLength: key.prefixLength - 32 });
      return `${network} of ${key.list === 0 ? "host" : "port"}: ${value === SourceVerdict.DENIED ? "deny" : "allow"}`;
    }),
  );
}
const portPolicies = (): PortPolicy[] =>
  (["port_policies_ipv4", "port_policies_ipv6"] as const).flatMap((name) =>
    [...fakes.maps[name].entries()].map((e) => e.value),
  );
const flags = () => fakes.maps.control.get(0)?.policy;
/** What was written, without repetitions. */
const steps = () => {
  const all = fakes.journal.splice(0).filter((step) => !step.endsWith("source_blocks"));
  return all.filter((step, index) => step !== all[index - 1]);
};

describe("applying", () => {
  test("nothing writes nothing but what is known of the host's list", () => {
    expect(applier.apply(policy(), false)).toEqual({ added: 0, removed: 0, stricter: false });
    expect(steps()).toEqual([]);
    expect(flags()).toBe(0);
  });

  test("the host's list, of both families", () => {
    const list = { allow: nets("198.18.2.0/24", "2001:db8::/32"), deny: nets("0.0.0.0/0", "::/0") };
    expect(applier.apply(policy({ sources: list }), false)).toEqual({ added: 4, removed: 0, stricter: true });
    expect(sources()).toEqual([
      "0.0.0.0/0 of host: deny",
      "198.18.2.0/24 of host: allow",
      "::/0 of host: deny",
      "2001:db8::/32 of host: allow",
    ]);
    expect(flags()).toBe(PolicyFlags.SOURCES);
    expect(applier.apply(policy({ sources: list }), false)).toEqual({
      added: 0,
      removed: 0,
      stricter: false,
    });
  });

  test("a port's policy refers to a list that is there before, and its removal comes before the list's", () => {
    applier.apply(policy(), false);
    applier.apply(policy({ ports: [port()] }), false);
    expect(steps()).toEqual(["set sources_ipv4", "set port_policies_ipv4", "set control"]);
    expect(flags()).toBe(PolicyFlags.PORTS);
    applier.apply(policy(), false);
    expect(steps()).toEqual(["set control", "delete port_policies_ipv4", "delete sources_ipv4"]);
    expect([sources(), portPolicies(), flags()]).toEqual([[], [], 0]);
  });

  test("a list that changes is another list: the old one stays until the port has the new one", () => {
    applier.apply(policy({ ports: [port()] }), false);
    const [before] = portPolicies();
    steps();
    const changed = port({ list: { allow: nets("198.18.7.0/24"), deny: [] } });
    expect(applier.apply(policy({ ports: [changed] }), false)).toEqual({
      added: 2,
      removed: 1,
      stricter: true,
    });
    expect(steps()).toEqual(["set sources_ipv4", "set port_policies_ipv4", "delete sources_ipv4"]);
    expect(portPolicies()[0]?.list).not.toBe(before?.list);
    expect(sources()).toEqual(["198.18.7.0/24 of port: allow"]);
  });

  test("ports with the same list share it, but not their limits", () => {
    const limit = { rate: 1000, burst: 5 };
    applier.apply(
      policy({
        ports: [
          port({ port: 1 }),
          port({ port: 2, containerId: "c2" }),
          port({ port: 3, containerId: "c1", limit }),
          port({ port: 4, containerId: "c2", limit }),
        ],
      }),
      false,
    );
    const lists = portPolicies().map((p) => p.list);
    expect(lists[0]).toBe(lists[1]);
    expect(new Set(lists).size).toBe(3);
    expect(sources()).toHaveLength(3);
    expect(portPolicies()[2]).toEqual({ list: lists[2], limit: 1000, burst: 5, unlistedRefused: 1 });
  });

  test("an allow list of nobody refuses everyone without a list", () => {
    applier.apply(policy({ ports: [port({ list: { allow: [], deny: [] } })] }), false);
    expect(portPolicies()).toEqual([{ list: 0, limit: 0, burst: 0, unlistedRefused: 1 }]);
    expect(sources()).toEqual([]);
  });

  test("a new port voids no connections, one with another policy does", () => {
    applier.apply(policy(), false);
    expect(applier.apply(policy({ ports: [port()] }), false).stricter).toBe(false);
    expect(applier.apply(policy({ ports: [port(), port({ port: 81 })] }), false).stricter).toBe(false);
    expect(
      applier.apply(policy({ ports: [port({ unlistedRefused: false }), port({ port: 81 })] }), false)
        .stricter,
    ).toBe(true);
    expect(applier.apply(policy(), false).stricter).toBe(false);
  });

  test("what another daemon left is known: nothing is written twice, what is not planned goes", () => {
    const full = policy({ sources: { allow: [], deny: nets("198.18.0.0/15") }, ports: [port()] });
    applier.apply(full, false);
    steps();
    const next = new PolicyApplier(fakes.maps, pino({ level: "silent" }));
    expect(next.apply(full, false)).toEqual({ added: 0, removed: 0, stricter: false });
    expect(steps()).toEqual([]);
    const last = new PolicyApplier(fakes.maps, pino({ level: "silent" }));
    expect(last.apply(policy(), false)).toEqual({ added: 0, removed: 3, stricter: true });
    expect([sources(), portPolicies(), flags()]).toEqual([[], [], 0]);
  });

  test.each([true, false])(
    "while something can't be looked at nothing is taken away (by the one that wrote it: %s)",
    (same) => {
      applier.apply(policy({ ports: [port()] }), false);
      const now = same ? applier : new PolicyApplier(fakes.maps, pino({ level: "silent" }));
      const other = port({ port: 9, list: { allow: nets("198.18.9.0/24"), deny: [] } });
      now.apply(policy({ ports: [other] }), true);
      expect(portPolicies()).toHaveLength(2);
      expect(sources()).toHaveLength(2);
      expect(flags()).toBe(PolicyFlags.PORTS);
      now.apply(policy(), true);
      expect(portPolicies()).toHaveLength(2);
      expect(flags()).toBe(PolicyFlags.PORTS);
      now.apply(policy({ ports: [other] }), false);
      expect(portPolicies()).toHaveLength(1);
      expect(sources()).toEqual(["198.18.9.0/24 of port: allow"]);
    },
  );

  test("a failure in between leaves nothing unknown", () => {
    applier.apply(policy({ ports: [port()] }), false);
    const { kernel } = fakes.maps.port_policies_ipv4;
    const write = kernel.setBatch;
    kernel.setBatch = () => {
      throw new Error("no");
    };
    const changed = policy({ ports: [port({ list: { allow: nets("198.18.7.0/24"), deny: [] } })] });
    expect(() => applier.apply(changed, false)).toThrow("no");
    kernel.setBatch = write;
    applier.apply(changed, false);
    expect(sources()).toEqual(["198.18.7.0/24 of port: allow"]);
  });

  test("a map that is full takes what fits, denials first, and is counted", () => {
    fakes = fakeMaps({ sources_ipv4: 2 });
    applier = new PolicyApplier(fakes.maps, pino({ level: "silent" }));
    applier.apply(
      policy({ sources: { allow: nets("198.18.1.0/24", "198.18.2.0/24"), deny: nets("198.18.0.0/15") } }),
      false,
    );
    expect(sources()).toEqual(["198.18.0.0/15 of host: deny", "198.18.1.0/24 of host: allow"]);
    expect(applier.failedWrites("sources_ipv4")).toBe(1);
  });

  test("knows how many entries there are", () => {
    expect(applier.entries("sources_ipv4")).toBeUndefined();
    applier.apply(
      policy({ sources: { allow: nets("::/0"), deny: nets("198.18.0.0/15", "::1/128") } }),
      false,
    );
    expect([
      applier.entries("sources_ipv4"),
      applier.entries("sources_ipv6"),
      applier.entries("ports_ipv4"),
    ]).toEqual([1, 2, undefined]);
  });
});

describe("what is known of a /16", () => {
  const block = (list: { allow?: readonly string[]; deny?: readonly string[] }, address: string) => {
    const [a = 0, b = 0] = address.split(".").map(Number);
    return sourceBlocks({ allow: nets(...(list.allow ?? [])), deny: nets(...(list.deny ?? [])) })[
      a * 256 + b
    ];
  };

  test("without a list all are unlisted", () => {
    expect(new Set(sourceBlocks(undefined))).toEqual(new Set([SourceBlock.UNLISTED]));
  });

  test.each([
    ["a denied /16 is denied", { deny: ["198.18.0.0/16"] }, "198.18.0.0", SourceBlock.DENIED],
    ["its neighbour is not", { deny: ["198.18.0.0/16"] }, "198.19.0.0", SourceBlock.UNLISTED],
    ["nor the one before", { deny: ["198.18.0.0/16"] }, "198.17.0.0", SourceBlock.UNLISTED],
    ["a shorter prefix has many", { deny: ["198.0.0.0/8"] }, "198.255.0.0", SourceBlock.DENIED],
    [
      "an exception of a whole /16",
      { deny: ["0.0.0.0/0"], allow: ["198.18.0.0/16"] },
      "198.18.0.0",
      SourceBlock.ALLOWED,
    ],
    [
      "an exception within it",
      { deny: ["0.0.0.0/0"], allow: ["198.18.7.0/24"] },
      "198.18.0.0",
      SourceBlock.MIXED,
    ],
    [
      "the rest of the denial",
      { deny: ["0.0.0.0/0"], allow: ["198.18.7.0/24"] },
      "255.255.0.0",
      SourceBlock.DENIED,
    ],
    ["IPv6 is none of it", { deny: ["::/0"] }, "198.18.0.0", SourceBlock.UNLISTED],
  ] as const)("%s", (_, list, address, expected) => {
    expect(block(list, address)).toBe(expected);
  });

  test("is never other than the list's own word, for random lists", () => {
    let seed = 20;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return (seed >>> 8) % below;
    };
    for (let round = 0; round < 30; round++) {
      const list: { allow: Network[]; deny: Network[] } = { allow: [], deny: [] };
      const seen = new Set<string>();
      for (let entry = 0; entry < 12; entry++) {
        const prefixLength = random(33);
        const bits = ((random(4) << 30) | (random(65536) << 10) | random(1024)) >>> 0;
        const masked = prefixLength === 0 ? 0 : (bits & (0xffffffff << (32 - prefixLength))) >>> 0;
        const network = {
          address: [24, 16, 8, 0].map((shift) => (masked >>> shift) & 255).join("."),
          prefixLength,
        };
        if (seen.has(formatNetwork(network))) continue;
        seen.add(formatNetwork(network));
        list[random(2) === 0 ? "allow" : "deny"].push(network);
      }
      const blocks = sourceBlocks(list);
      for (let probe = 0; probe < 400; probe++) {
        const near = [...list.allow, ...list.deny][random(seen.size)]?.address.split(".").map(Number) ?? [];
        const address = near.map((byte, index) => (index === 3 || random(4) > 0 ? byte : random(256)));
        const known = blocks[(address[0] ?? 0) * 256 + (address[1] ?? 0)];
        if (known !== SourceBlock.MIXED) expect(known).toBe(longestPrefix(list, address));
      }
    }
  });
});

function longestPrefix(list: { allow: Network[]; deny: Network[] }, address: number[]): number {
  const value = address.reduce((sum, byte) => sum * 256 + byte, 0);
  const has = ({ address: first, prefixLength }: Network) => {
    const start = first.split(".").reduce((sum, byte) => sum * 256 + Number(byte), 0);
    return value >= start && value < start + 2 ** (32 - prefixLength);
  };
  const best = (networks: Network[]) => Math.max(-1, ...networks.filter(has).map((n) => n.prefixLength));
  const [allowed, denied] = [best(list.allow), best(list.deny)];
  if (allowed === -1 && denied === -1) return SourceBlock.UNLISTED;
  return allowed > denied ? SourceBlock.ALLOWED : SourceBlock.DENIED;
}

test("a key's prefix has the list's number in it", () => {
  const [entry] = listEntries(7, { allow: [], deny: nets("198.18.0.0/15") }, 4);
  expect(mapDefinitions.sources_ipv4.key.decode(entry?.key ?? Buffer.alloc(0))).toEqual({
    prefixLength: 47,
    list: 7,
    network: "198.18.0.0",
  });
});
