import { describe, expect, test } from "vitest";
import type { SlowNetwork, SlowPath, SlowPort } from "../../../src/plan/slow_path.js";
import { ruleset } from "../../../src/slowpath/ruleset.js";
import { removeSlowPath, SlowPathTable } from "../../../src/slowpath/table.js";
import { enterNewNamespace, run } from "../native/support.js";

/* The kernel judges the scripts, in network namespaces of their own. */

const network = (bridge: string, change: Partial<SlowNetwork> = {}): SlowNetwork => ({
  bridge,
  internal: false,
  icc: true,
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
  networks: [network("br-front"), network("br-shut", { internal: true, icc: false })],
  ports: [port(8080), port(53, { proto: "udp", address: "198.18.2.2" }), port(8080, ipv6)],
};

const listed = () => run("nft", "list", "ruleset");

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
    expect(await new SlowPathTable().apply({ networks: [], ports: [] }, true)).toBe("written");
    expect(listed()).toContain("table inet fairway");
  });

  test.each([
    ["flushed with all others", ["flush", "ruleset"]],
    ["deleted", ["delete", "table", "inet", "fairway"]],
    ["added to", ["add", "rule", "inet", "fairway", "to_network", "accept"]],
    ["robbed of a port", ["delete", "element", "inet", "fairway", "any_ports_ipv4", "{ tcp . 8080 }"]],
  ])("is restored when it was %s", async (_name, command) => {
    enterNewNamespace();
    const table = new SlowPathTable();
    await table.apply(slowPath, true);
    const before = listed();
    run("nft", ...command);
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
      expect(() => ruleset({ networks: [network(name)], ports: [] })).toThrow(/has a name that no rule/);
    },
  );

  test("is not written for a subnet that is none", () => {
    const ip = {
      4: { subnets: ["172.18.0.0/16 accept"], gatewayMode: "nat", masquerade: true, snatAddress: undefined },
      6: undefined,
    } as const;
    const hostile = network("br-front", { ip: { ...ip, 4: { ...ip[4], subnets: [...ip[4].subnets] } } });
    expect(() => ruleset({ networks: [hostile], ports: [] })).toThrow(/subnet that is none/);
  });
});
