import { describe, expect, test } from "vitest";
import type { EngineContainer, EngineState, PublishedPort } from "../../../src/docker/model.js";
import type { NetLink } from "../../../src/native/index.js";
import { formatNetwork } from "../../../src/networks.js";
import { planPolicy } from "../../../src/plan/policy.js";
import { readPolicyLabels } from "../../../src/plan/policy_labels.js";
import type { PolicyOptions } from "../../../src/plan/policy_types.js";
import type { PlannedUplink, PlanWarning } from "../../../src/plan/types.js";

const net = (address: string, prefixLength: number) => ({ address, prefixLength });

describe("labels", () => {
  const read = (labels: Record<string, string>) => {
    const { policy, problems } = readPolicyLabels(labels);
    return {
      allow: policy?.allow?.map(formatNetwork),
      deny: policy?.deny.map(formatNetwork),
      limit: policy?.limit,
      problems,
    };
  };

  test("without any there is no policy", () => {
    expect(readPolicyLabels({ maintainer: "me" })).toEqual({ policy: undefined, problems: [] });
  });

  test("lists are read, with white space between", () => {
    expect(read({ "fairway.allow": "198.18.0.0/16, 2001:db8::/32", "fairway.deny": "198.18.0.2" })).toEqual({
      allow: ["198.18.0.0/16", "2001:db8::/32"],
      deny: ["198.18.0.2/32"],
      limit: undefined,
      problems: [],
    });
  });

  test.each(["198.18.0.0/16,nonsense", "nonsense", "", "198.18.0.1/16", "198.18.0.0/16,"])(
    "an allow list with a slip allows nobody: %j",
    (text) => {
      const { allow, problems } = read({ "fairway.allow": text });
      expect(allow).toEqual([]);
      expect(problems).toHaveLength(1);
      expect(problems[0]).toMatch(/^label fairway\.allow: .*: nobody is allowed$/);
    },
  );

  test("a deny list with a slip keeps its good entries", () => {
    const { deny, problems } = read({ "fairway.deny": "nonsense,198.18.0.0/16,2001:db8::1/32" });
    expect(deny).toEqual(["198.18.0.0/16"]);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(/"nonsense".*the other entries hold$/);
  });

  test("a deny list without a good entry says so", () => {
    expect(read({ "fairway.deny": "x" }).problems[0]).toMatch(/nothing is denied by it$/);
    expect(readPolicyLabels({ "fairway.deny": "x" }).policy).toBeUndefined();
  });

  test.each([
    ["100/s", { rate: 100_000, burst: 100 }],
    ["100/s,burst=200", { rate: 100_000, burst: 200 }],
    ["100/s, burst=1", { rate: 100_000, burst: 1 }],
    ["6/m", { rate: 100, burst: 6 }],
    ["1/m", { rate: 17, burst: 1 }],
    ["1000000/s", { rate: 1_000_000_000, burst: 1_000_000 }],
  ])("the limit %s", (text, limit) => {
    expect(read({ "fairway.limit": text })).toMatchObject({ limit, problems: [] });
  });

  test.each([
    "",
    "100",
    "100/h",
    "0/s",
    "-1/s",
    "1000001/s",
    "1/s,burst=0",
    "1/s,burst",
    "1/s burst=2",
    "1.5/s",
    "100/s,burst=1,",
  ])("the limit %j is none", (text) => {
    const { limit, problems } = read({ "fairway.limit": text });
    expect(limit).toBeUndefined();
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(/nothing is limited$/);
  });

  test("a broken limit does not take the lists with it", () => {
    expect(read({ "fairway.limit": "x", "fairway.allow": "198.18.0.2" }).allow).toEqual(["198.18.0.2/32"]);
  });

  test("what is both allowed and denied is denied", () => {
    const { allow, deny, problems } = read({
      "fairway.allow": "198.18.0.0/16,::/0",
      "fairway.deny": "198.18.0.0/16",
    });
    expect({ allow, deny }).toEqual({ allow: ["::/0"], deny: ["198.18.0.0/16"] });
    expect(problems).toEqual(["labels fairway.allow and fairway.deny both have 198.18.0.0/16: it is denied"]);
  });
});

const port = (hostIp: string, hostPort = 8080, proto: PublishedPort["proto"] = "tcp"): PublishedPort => ({
  proto,
  hostIp,
  hostPort,
  containerPort: 80,
});

function container(
  name: string,
  labels: Record<string, string>,
  ports: PublishedPort[],
  change = {},
): EngineContainer {
  const nothing = { paused: false, networkMode: "bridge", sandboxKey: "", endpoints: [] };
  return { id: name.padEnd(64, "0"), name, labels, ports, running: true, ...nothing, ...change };
}

const uplink = (ifindex: number, name: string, l3 = false) =>
  ({ ifindex, name, mtu: 1500, l3 }) as PlannedUplink;
const eth0 = uplink(2, "eth0");

function planned(
  containers: EngineContainer[],
  options: PolicyOptions = {},
  {
    links = [],
    uplinks = [eth0],
    drivers = [],
  }: { links?: Partial<NetLink>[]; uplinks?: PlannedUplink[]; drivers?: string[] } = {},
) {
  const warnings: PlanWarning[] = [];
  const networks = drivers.map((driver) => ({ driver }));
  const engine = { containers, networks } as unknown as EngineState;
  return { ...planPolicy(engine, { links: links as NetLink[] }, uplinks, options, warnings), warnings };
}

describe("the plan", () => {
  const allow = { "fairway.allow": "198.18.0.2" };

  test("has every published port of a container with labels, whatever way it is served", () => {
    const ports = [
      port("0.0.0.0"),
      port("::"),
      port("198.18.0.1", 53, "udp"),
      port("0.0.0.0", 9, "sctp"),
      port("127.0.0.1", 1),
    ];
    const { ports: policies } = planned([
      container("web", allow, ports),
      container("other", {}, [port("0.0.0.0", 81)]),
    ]);
    expect(policies.map((p) => `${p.address} ${p.port}/${p.proto}`).sort()).toEqual([
      "0.0.0.0 8080/tcp",
      "0.0.0.0 9/sctp",
      "127.0.0.1 1/tcp",
      "198.18.0.1 53/udp",
      ":: 8080/tcp",
    ]);
    expect(policies.every((p) => p.unlistedRefused && p.list.allow.length === 1)).toBe(true);
  });

  test("without an allow list those on no list are let in", () => {
    const { ports } = planned([container("web", { "fairway.deny": "198.18.0.2" }, [port("0.0.0.0")])]);
    expect(ports).toMatchObject([
      { unlistedRefused: false, list: { allow: [], deny: [net("198.18.0.2", 32)] } },
    ]);
  });

  test("has no limit for SCTP, and nothing for containers that don't run", () => {
    const limit = { "fairway.limit": "1/s" };
    const { ports } = planned([
      container("web", limit, [port("0.0.0.0"), port("0.0.0.0", 9, "sctp")]),
      container("gone", limit, [port("0.0.0.0", 82)], { running: false }),
    ]);
    expect(ports.map((p) => [p.proto, p.limit?.rate])).toEqual([
      ["sctp", undefined],
      ["tcp", 1000],
    ]);
  });

  test("tells what is wrong with the container's name", () => {
    const { warnings } = planned([container('we"b', { "fairway.allow": "all" }, [])]);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatchObject({ code: "policy_label", transient: false });
    expect(warnings[0]?.message).toMatch(/^container we\\"b: label fairway\.allow: "all" is not a network/);
  });

  test("does not depend on the order of containers", () => {
    const [a, b] = [container("a", allow, [port("0.0.0.0", 1)]), container("b", allow, [port("0.0.0.0", 2)])];
    expect(planned([a, b])).toEqual(planned([b, a]));
  });

  describe("wants XDP", () => {
    const labelled = [container("web", allow, [port("0.0.0.0")])];
    const wanted = (...args: Parameters<typeof planned>) => planned(...args).xdp.map((x) => x.name);

    test("where there is a list or a policy, unless told otherwise", () => {
      expect(wanted([])).toEqual([]);
      expect(wanted(labelled)).toEqual(["eth0"]);
      expect(wanted([container("web", allow, [])])).toEqual([]);
      expect(wanted([], { deny: [net("198.18.0.0", 16)] })).toEqual(["eth0"]);
      expect(wanted([], { allow: [net("198.18.0.0", 16)] })).toEqual(["eth0"]);
      expect(wanted([], { xdp: "on" })).toEqual(["eth0"]);
      expect(wanted(labelled, { xdp: "off", deny: [net("::", 0)] })).toEqual([]);
    });

    test("not at devices without an Ethernet header", () => {
      expect(wanted([], { xdp: "on" }, { uplinks: [eth0, uplink(3, "wg0", true)] })).toEqual(["eth0"]);
    });

    test("and tells which uplinks' packets it has seen then: those on top", () => {
      const links = [
        { ifindex: 2, name: "eth0" },
        { ifindex: 5, name: "eth0.20", kind: "vlan", link: 2 },
        { ifindex: 6, name: "eth0.20.30", kind: "vlan", link: 5 },
        { ifindex: 7, name: "veth0", kind: "veth", link: 2 },
      ];
      const uplinks = [eth0, uplink(5, "eth0.20"), uplink(6, "eth0.20.30"), uplink(7, "veth0")];
      const { xdp } = planned([], { xdp: "on" }, { links, uplinks });
      expect(xdp.map((x) => [x.name, x.above, x.ownSources])).toEqual([
        ["eth0", [5, 6], true],
        ["eth0.20", [6], true],
        ["eth0.20.30", [], false],
        ["veth0", [], false],
      ]);
    });

    test("and does not mind the host's own addresses where others may have them too", () => {
      const own = (more: Parameters<typeof planned>[2]) =>
        planned([], { xdp: "on" }, more).xdp[0]?.ownSources;
      expect(own({})).toBe(false);
      expect(own({ links: [{ ifindex: 4, name: "red", kind: "vrf" }] })).toBe(true);
      expect(own({ drivers: ["bridge", "macvlan"] })).toBe(true);
    });
  });
});
