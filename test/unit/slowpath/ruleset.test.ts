import { describe, expect, test } from "vitest";
import { firewallGeneration } from "../../../src/native/index.js";
import type { SlowNetwork, SlowPath, SlowPort } from "../../../src/plan/slow_path.js";
import { ruleset } from "../../../src/slowpath/ruleset.js";
import { changing } from "../../../src/slowpath/script.js";
import { removeSlowPath, SlowPathTable } from "../../../src/slowpath/table.js";
import { enterNewNamespace, run } from "../native/support.js";

/* The kernel judges the scripts, in network namespaces of their own. */

const network = (bridge: string, change: Partial<SlowNetwork> = {}): SlowNetwork => ({
  bridge,
  internal: false,
  icc: true,
  trusted: [],
  ip: {
    4: { subnets: ["172.18.0.0/16"], gatewayMode: "nat", masquerade: true, snatAddress: undefined },
    6: {
      subnets: ["fd00::/64"],
      gatewayMode: "nat-unprotected",
      masquerade: true,
      snatAddress: "2001:db8::9",
    },
  },
  ...change,
});

const port = (number: number, change: Partial<SlowPort> = {}): SlowPort => ({
  family: 4,
  endpointId: "e",
  proto: "tcp",
  address: "0.0.0.0",
  port: number,
  containerAddress: "172.18.0.2",
  containerPort: 80,
  ...change,
});

const ipv6 = { family: 6, address: "::", containerAddress: "fd00::2" } as const;
const slowPath: SlowPath = {
  networks: [network("br-front", { trusted: ["eth0"] }), network("br-shut", { internal: true, icc: false })],
  ports: [port(8080), port(53, { proto: "udp", address: "198.18.2.2" }), port(8080, ipv6)],
  routedPorts: [{ family: 6, endpointId: "e", proto: "sctp", address: "fd00::3", port: 80 }],
  bridges: [1, 4711],
};
const empty: SlowPath = { networks: [], ports: [], routedPorts: [], bridges: [] };

const listed = () => run("nft", "list", "ruleset");
/** Elements are listed in no order. */
const sorted = (text: string) =>
  text
    .split(/[\n,{}]|elements =/)
    .map((part) => part.trim())
    .sort();

/** Runs nft, or what needs more than one of its commands. */
function tamper(command: readonly string[]): void {
  if (command[0] === "replace-rule") {
    const handle = /handle (\d+)/.exec(
      run("nft", "--handle", "list", "chain", "inet", "fairway", "to_network").split("@closed drop")[1] ?? "",
    );
    run("nft", "replace", "rule", "inet", "fairway", "to_network", "handle", handle?.[1] ?? "", "accept");
  } else if (command[0] === "redirect") {
    const element = ["element", "inet", "fairway", "any_ports_ipv4"];
    run("nft", "delete", ...element, "{ tcp . 8080 }");
    run("nft", "add", ...element, "{ tcp . 8080 : 172.18.0.9 . 80 }");
  } else {
    run("nft", ...command);
  }
}

describe("the slow path's table", () => {
  test("is taken by the kernel, whole, and nothing is written twice", async () => {
    enterNewNamespace();
    const table = new SlowPathTable();
    expect(await table.apply(slowPath, true)).toBe("written");
    const first = listed();
    for (const part of ["tcp . 8080 : 172.18.0.2 . 80", "198.18.2.2 . udp . 53", "snat ip6 to 2001:db8::9"])
      expect(first).toContain(part);
    expect(await table.apply(slowPath, true)).toBe("unchanged");
    expect(listed()).toBe(first);
  });

  test("without networks and ports is there too", async () => {
    enterNewNamespace();
    expect(await new SlowPathTable().apply(empty, true)).toBe("written");
    expect(listed()).toContain("table inet fairway");
  });

  test.each([
    ["flushed with all others", ["flush", "ruleset"]],
    ["deleted", ["delete", "table", "inet", "fairway"]],
    ["added to", ["add", "rule", "inet", "fairway", "to_network", "accept"]],
    ["robbed of a rule's sense", ["replace-rule"]],
    ["told of another device", ["add", "element", "inet", "fairway", "known", "{ 99 }"]],
    ["led elsewhere", ["redirect"]],
    ["robbed of a port", ["delete", "element", "inet", "fairway", "any_ports_ipv4", "{ tcp . 8080 }"]],
  ])("is restored when it was %s", async (_name, command) => {
    enterNewNamespace();
    const table = new SlowPathTable();
    await table.apply(slowPath, true);
    expect(await table.apply(slowPath, true)).toBe("unchanged");
    const before = listed();
    tamper(command);
    expect(await table.apply(slowPath, false)).toBe("unchanged");
    expect(await table.apply(slowPath, true)).toBe("restored");
    expect(listed()).toBe(before);
  });

  test("leaves others' tables alone, also when it is removed", async () => {
    enterNewNamespace();
    run("nft", "add", "table", "inet", "mine");
    await new SlowPathTable().apply(slowPath, true);
    expect(await removeSlowPath()).toEqual(["inet fairway"]);
    expect(listed().trim()).toMatch(/^table inet mine \{\s*\}$/);
    expect(await removeSlowPath()).toEqual([]);
  });

  /** Every change on its own: from the first of two states to the second. */
  const states: [string, Partial<SlowPath>, Partial<SlowPath>][] = [
    ["a port that comes", { ports: [port(1)] }, { ports: [port(1), port(2)] }],
    ["a port that goes", { ports: [port(1), port(2, ipv6)] }, { ports: [port(1)] }],
    ["all ports that go", { ports: [port(1), port(2)] }, { ports: [] }],
    ["a port that leads elsewhere", {}, { ports: [port(8080, { containerAddress: "172.18.0.7" })] }],
    ["a network that comes", { networks: [] }, {}],
    ["a network that goes", {}, { networks: [network("br-front")] }],
    ["a network that is no more internal", {}, { networks: [network("br-shut")] }],
    ["a routed port that goes", {}, { routedPorts: [] }],
    ["a bridge that comes", {}, { bridges: [1, 2, 4711] }],
    ["everything", { ...empty }, {}],
  ];

  test.each(states)("is the same after %s as if it had been written anew", async (_name, from, to) => {
    enterNewNamespace();
    await new SlowPathTable().apply({ ...slowPath, ...to }, true);
    const anew = sorted(listed());
    const table = new SlowPathTable();
    await table.apply({ ...slowPath, ...from }, true);
    const generation = firewallGeneration();
    expect(await table.apply({ ...slowPath, ...to }, true)).toBe("written");
    expect(firewallGeneration()).toBe(generation + 1);
    expect(sorted(listed())).toEqual(anew);
    expect(await table.apply({ ...slowPath, ...to }, true)).toBe("unchanged");
  });

  test("gets a change by its elements alone", () => {
    const script = changing(ruleset(slowPath), ruleset({ ...slowPath, ports: [port(8080), port(9)] }));
    expect(script.split("\n").filter((line) => line !== "")).toEqual([
      "delete element inet fairway ports_ipv4 { 198.18.2.2 . udp . 53 }",
      "add element inet fairway any_ports_ipv4 { tcp . 9 : 172.18.0.2 . 80 }",
      "delete element inet fairway admitted_ipv4 { 172.18.0.2 . udp . 80 }",
      "delete element inet fairway any_ports_ipv6 { tcp . 8080 }",
      "delete element inet fairway admitted_ipv6 { fd00::2 . tcp . 80 }",
    ]);
    expect(changing(ruleset(slowPath), ruleset(slowPath))).toBe("");
  });

  test("is written anew where there is none any more to be changed", async () => {
    enterNewNamespace();
    const table = new SlowPathTable();
    await table.apply(slowPath, true);
    run("nft", "flush", "ruleset");
    expect(await table.apply({ ...slowPath, ports: [port(1)] }, false)).toBe("restored");
    expect(listed()).toContain("tcp . 1 : 172.18.0.2 . 80");
    // Also where what is to be taken away was.
    run("nft", "flush", "ruleset");
    expect(await table.apply({ ...slowPath, ports: [] }, false)).toBe("restored");
  });

  test("is not rewritten for rules of others", async () => {
    enterNewNamespace();
    const table = new SlowPathTable();
    await table.apply(slowPath, true);
    expect(await table.apply(slowPath, true)).toBe("unchanged");
    for (const name of ["mine", "too"]) {
      run("nft", "add", "table", "inet", name);
      const generation = firewallGeneration();
      expect(await table.apply(slowPath, true)).toBe("unchanged");
      expect(firewallGeneration()).toBe(generation);
    }
  });

  test("of 10,000 ports has no more rules than that of one", async () => {
    enterNewNamespace();
    const ports = Array.from({ length: 10_000 }, (_, index) => port(10_000 + index));
    await new SlowPathTable().apply({ ...slowPath, ports }, true);
    const rules = (text: string) =>
      text.split("\n").filter((line) => / (dnat|accept|drop|jump) ?/.test(line));
    const many = rules(listed()).length;
    await new SlowPathTable().apply({ ...slowPath, ports: [port(1)] }, true);
    expect(rules(listed())).toHaveLength(many);
  }, 60_000);

  test.each(['br"; flush ruleset; "', "br*", "br front", "br\\front", ""])(
    "is not written for a bridge called %j",
    (name) => {
      for (const bad of [network(name), network("br-front", { trusted: [name] })])
        expect(() => ruleset({ ...empty, networks: [bad] })).toThrow(/has a name that no rule/);
    },
  );

  test("is not written for a subnet that is none", () => {
    const ip = {
      4: { subnets: ["172.18.0.0/16 accept"], gatewayMode: "nat", masquerade: true, snatAddress: undefined },
      6: undefined,
    } as const;
    const hostile = network("br-front", { ip: { ...ip, 4: { ...ip[4], subnets: [...ip[4].subnets] } } });
    expect(() => ruleset({ ...empty, networks: [hostile] })).toThrow(/subnet that is none/);
  });
});
