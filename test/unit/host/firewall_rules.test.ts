import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  engineNatByRuleset,
  engineNatBySaved,
  type ForeignRule,
  foreignChains,
  foreignRules,
  hasIptables,
} from "../../../src/host/firewall_rules.js";

/** iptables-save beside a real engine of each kind, with published ports, internal, quiet and routed networks. */
const engines = {
  "20.10": new Set(["docker0", "brquiet", "br-03062fed7446", "br-27d843f9803b"]),
  "29": new Set([
    "docker0",
    "brquiet",
    "br-28d087de7f50",
    "br-ed4f43b0a8a9",
    "br-e7a898721513",
    "br-449241c3b568",
  ]),
};

const uplinks = new Set(["eth0"]);
const both = { 4: true, 6: true };
const neither = { 4: false, 6: false };

function fixture(name: string): string {
  return readFileSync(new URL(`./fixtures/${name}`, import.meta.url), "utf8");
}

describe.each(Object.keys(engines) as (keyof typeof engines)[])("foreignRules beside engine %s", (name) => {
  const engine = {
    bridges: engines[name],
    hostBridges: new Set([...engines[name], "brnew"]),
    snatAddresses: new Set(["198.18.0.9"]),
  };
  const plain = fixture(`iptables-save-${name}.txt`);
  const found = (rules: string, bridgedToo = true) => foreignRules(rules, 4, engine, uplinks, bridgedToo);
  /** The engine's rules with more, in a table that may or may not be there. */
  const withRules = (table: string, ...rules: string[]) =>
    `${plain}\n*${table}\n${rules.join("\n")}\nCOMMIT\n`;

  it("finds nothing in what the engine wrote", () => {
    expect(plain).toContain("-A FORWARD -j DOCKER-USER");
    expect(found(plain)).toEqual([]);
  });

  it("finds nothing in what the engine wrote for a network that it has not listed yet", () => {
    const early = {
      bridges: new Set<string>(),
      hostBridges: new Set<string>(),
      snatAddresses: new Set<string>(),
    };
    const named = plain.split("\n").filter((line) => !line.includes("brquiet"));
    named.push("*nat", "-A POSTROUTING -s 172.30.0.0/16 ! -o br-0123456789ab -j SNAT --to-source 198.18.0.7");
    expect(foreignRules(named.join("\n"), 4, early, uplinks, true)).toEqual([]);
  });

  it.each([
    ["filter", "-A DOCKER-USER -s 172.17.0.5/32 -j DROP"],
    ["filter", "-A DOCKER-USER -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j DROP"],
    ["filter", "-A DOCKER-USER -j LOG --log-prefix x"],
    ["filter", "-A DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"],
    ["filter", "-A FORWARD -j ufw-before-forward"],
    ["filter", "-A FORWARD -j DOCKER-MINE"],
    ["filter", "-A FORWARD -i docker0 -o docker0 -p tcp -m tcp --dport 22 -j DROP"],
    ["filter", "-A FORWARD -i br-+ -j DROP"],
    ["filter", "-A FORWARD ! -i eth0 -j DROP"],
    ["filter", '-A FORWARD -m comment --comment "not \\" -i wg0 -j X" -j DROP'],
    ["filter", "-A FORWARD -m physdev --physdev-is-bridged -j DROP"],
    ["nat", "-A POSTROUTING -s 172.17.0.0/16 -d 172.17.0.0/16 -j MASQUERADE"],
    ["nat", "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j SNAT --to-source 198.18.0.7"],
    ["nat", "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE --random"],
    ["nat", "-A POSTROUTING -s 198.18.0.0/16 ! -o tun0 -j MASQUERADE"],
    ["nat", "-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 3128"],
    ["mangle", "-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"],
    ["raw", "-A PREROUTING -p udp -j NOTRACK"],
    ["raw", "-A PREROUTING -d 172.17.0.2/32 ! -i eth1 -j DROP"],
    ["raw", "-A PREROUTING -d 198.18.0.5/32 ! -i brnew -j DROP"],
    ["security", "-A FORWARD -j DROP"],
  ])("finds for routed and for bridged packets in %s: %s", (table, rule) => {
    const text = `${table}: ${rule}`;
    expect(found(withRules(table, rule))).toEqual([{ text, families: [4], routed: true, bridged: true }]);
    expect(found(withRules(table, rule), false)).toEqual([
      { text, families: [4], routed: true, bridged: false },
    ]);
  });

  it.each([
    ["filter", "-A DOCKER-USER -i eth0 -s 198.18.0.0/15 -j DROP"],
    ["filter", "-A FORWARD -i eth0 -o docker0 -j DROP"],
    ["nat", "-A POSTROUTING -s 10.8.0.0/24 -o eth0 -j MASQUERADE"],
  ])("finds for routed packets only in %s: %s", (table, rule) => {
    expect(found(withRules(table, rule))).toEqual([
      { text: `${table}: ${rule}`, families: [4], routed: true, bridged: false },
    ]);
  });

  it.each([
    ["filter", "-A FORWARD -i wg0 -j ACCEPT"],
    ["filter", "-A FORWARD -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"],
    ["filter", "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"],
    ["filter", "-A ufw-user-input -j DROP"],
    ["filter", ":FORWARD DROP [0:0]"],
    ["filter", "-A DOCKER-USER -j RETURN"],
    ["nat", "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j SNAT --to-source 198.18.0.9"],
    ["nat", "-A POSTROUTING -s 172.31.0.0/16 ! -o brnew -j MASQUERADE"],
    ["nat", "-A OUTPUT -p tcp -j REDIRECT --to-ports 1"],
    ["mangle", "-A INPUT -j ACCEPT"],
    ["mangle", ":FORWARD ACCEPT [7:420]"],
  ])("does not mind in %s: %s", (table, rule) => {
    expect(found(withRules(table, rule))).toEqual([]);
  });

  it("finds a policy", () => {
    expect(found(withRules("mangle", ":FORWARD DROP [0:0]"))).toEqual([
      { text: "mangle: FORWARD DROP", families: [4], routed: true, bridged: true },
    ]);
  });

  it("finds the rules of chains that foreign rules lead to, and not those of others", () => {
    const texts = found(
      withRules(
        "filter",
        "-A DOCKER-USER -i eth0 -j MINE",
        "-A MINE -s 10.0.0.1/32 -g DEEPER",
        "-A MINE -i wg0 -j ELSEWHERE",
        "-A DEEPER -j DROP",
        "-A ELSEWHERE -j DROP",
        "-A UNUSED -j DROP",
      ),
    ).map((rule) => rule.text);
    expect(texts).toEqual([
      "filter: -A DOCKER-USER -i eth0 -j MINE",
      "filter: -A MINE -s 10.0.0.1/32 -g DEEPER",
      "filter: -A DEEPER -j DROP",
    ]);
  });

  it("finds ufw's rules", () => {
    const texts = found(`${plain}\n${fixture("iptables-save-ufw.txt")}`).map((rule) => rule.text);
    expect(texts[0]).toBe("filter: -A FORWARD -j ufw-before-logging-forward");
    expect(texts).toContain("filter: -A ufw-user-forward -s 198.18.0.7/32 -j DROP");
    expect(texts.some((text) => text.includes("input"))).toBe(false);
  });

  it("finds a table that iptables can't read", () => {
    const table = "# Table `filter' is incompatible, use 'nft' tool.";
    expect(found(table)).toEqual([{ text: table.slice(2), families: [4], routed: true, bridged: true }]);
  });
});

/** ip6tables-save beside real engines that translate IPv6 (20.10 with --ip6tables). */
const engines6 = {
  "20.10": new Set(["docker0", "brquiet", "br-466864f0f9ca", "br-16d6ac977dbf", "br-96246449666a"]),
  "29": new Set([
    ...["docker0", "brquiet", "br-228daa1ff8e5", "br-6a8cb1f1ac62"],
    ...["br-78f920ba44d6", "br-8d8a63904fd7"],
  ]),
};

describe.each(Object.keys(engines6) as (keyof typeof engines6)[])(
  "foreignRules of IPv6 beside engine %s",
  (name) => {
    const engine = {
      bridges: engines6[name],
      hostBridges: engines6[name],
      snatAddresses: new Set(["2001:db8:2::9"]),
    };
    const plain = fixture(`ip6tables-save-${name}.txt`);
    const found = (rules: string) => foreignRules(rules, 6, engine, uplinks, true);

    it("finds nothing in what the engine wrote, and that it translates", () => {
      expect(plain).toContain("-j MASQUERADE");
      expect(found(plain)).toEqual([]);
      expect(engineNatBySaved(plain)).toBe(true);
    });

    it.each([
      ["filter", "-A FORWARD -s 2001:db8::/32 -j DROP"],
      ["filter", "-A FORWARD -p ipv6-icmp -j ACCEPT"],
      ["raw", "-A PREROUTING -d 2001:db8:17::2/128 ! -i eth1 -j DROP"],
      ["raw", "-A PREROUTING -m rpfilter --invert -j DROP"],
      ["nat", "-A POSTROUTING -s 2001:db8:22::/64 ! -o docker0 -j SNAT --to-source 2001:db8:2::8"],
      [
        "nat",
        "-A POSTROUTING -s 2001:db8:17::2/128 -d 2001:db8:17::3/128 -p tcp -m tcp --dport 80 -j MASQUERADE",
      ],
      ["mangle", "-A POSTROUTING -j NETMAP --to 2001:db8:99::/64"],
    ])("finds in %s: %s", (table, rule) => {
      const text = `${table}: ${rule}`;
      expect(found(`${plain}\n*${table}\n${rule}\nCOMMIT\n`)).toEqual([
        { text, families: [6], routed: true, bridged: true },
      ]);
    });

    it.each([
      ["raw", "-A PREROUTING -d 2001:db8:17::2/128 ! -i docker0 -j DROP"],
      ["raw", "-A PREROUTING -d ::1/128 ! -i lo -p tcp -m tcp --dport 8082 -j DROP"],
      ["nat", "-A POSTROUTING -s 2001:db8:22::/64 ! -o docker0 -j SNAT --to-source 2001:db8:2::9"],
      [
        "nat",
        "-A POSTROUTING -s 2001:db8:17::2/128 -d 2001:db8:17::2/128 -p tcp -m tcp --dport 80 -j MASQUERADE",
      ],
      ["filter", "-A FORWARD -m set --match-set docker-ext-bridges-v6 dst -j DOCKER"],
      ["filter", "-A INPUT -p ipv6-icmp -j ACCEPT"],
    ])("does not mind in %s: %s", (table, rule) => {
      expect(found(`${plain}\n*${table}\n${rule}\nCOMMIT\n`)).toEqual([]);
    });
  },
);

describe("foreignChains", () => {
  const found = (ruleset: string, bridgedToo = both) =>
    foreignChains(ruleset, bridgedToo).map(({ behind: _, ...rule }) => rule);

  it("finds neither iptables' chains nor the engine's own", () => {
    expect(fixture("nft-iptables.json")).toContain("FORWARD");
    expect(foreignChains(fixture("nft-iptables.json"), both)).toEqual([]);
    expect(hasIptables(fixture("nft-iptables.json"), 4)).toBe(true);
    for (const family of ["ip", "ip6"]) {
      const own = chain(family, "docker-bridges", "filter-FORWARD", "forward", 1);
      expect(foreignChains(own, both)).toEqual([]);
      expect(hasIptables(own, 4) || hasIptables(own, 6)).toBe(false);
    }
    expect(foreignChains('{"nftables": []}', both)).toEqual([]);
  });

  it("knows iptables' chains of each family", () => {
    const of6 = chain("ip6", "nat", "PREROUTING", "prerouting", 1);
    expect([hasIptables(of6, 4), hasIptables(of6, 6)]).toEqual([false, true]);
    expect(foreignChains(of6, both)).toEqual([]);
  });

  it("finds firewalld's", () => {
    const forward = {
      text: "nftables: table inet firewalld, chain filter_FORWARD",
      families: [4, 6],
      routed: true,
      bridged: true,
    };
    expect(found(fixture("nft-firewalld.json"))).toContainEqual(forward);
    expect(found(fixture("nft-firewalld.json"), neither)).toContainEqual({ ...forward, bridged: false });
    expect(found(fixture("nft-firewalld.json")).some(({ text }) => text.includes("INPUT"))).toBe(false);
  });

  it.each([
    ["inet", "forward", [4, 6]],
    ["inet", "prerouting", [4, 6]],
    ["ip", "postrouting", [4]],
    ["ip6", "forward", [6]],
    ["inet", "ingress", [4, 6]],
    ["ip", "something-new", [4]],
  ])("finds a chain of %s at %s, for bridged packets where they meet it", (family, hook, families) => {
    const text = `nftables: table ${family} mine, chain c`;
    const own = chain(family, "mine", "c", hook, 1);
    expect(found(own)).toEqual([{ text, families, routed: true, bridged: true }]);
    expect(found(own, neither)).toEqual([{ text, families, routed: true, bridged: false }]);
    // Bridged packets of one family may meet the rules while those of the other don't.
    const only6 = { 4: false, 6: true };
    expect(found(own, only6)).toMatchObject([{ bridged: families.includes(6) }]);
  });

  it.each([
    ["bridge", "forward"],
    ["bridge", "input"],
    ["netdev", "ingress"],
  ])("finds a chain of %s at %s, for bridged packets always", (family, hook) => {
    expect(found(chain(family, "mine", "c", hook, 1), neither)).toMatchObject([
      { families: [4, 6], routed: true, bridged: true },
    ]);
  });

  it.each([
    ["inet", "input"],
    ["ip", "output"],
    ["ip6", "input"],
    ["arp", "input"],
  ])("does not mind a chain of %s at %s", (family, hook) => {
    expect(found(chain(family, "mine", "c", hook, 1))).toEqual([]);
  });

  it("minds an empty chain only if it drops", () => {
    expect(found(chain("inet", "filter", "forward", "forward", 0))).toEqual([]);
    expect(found(chain("inet", "filter", "forward", "forward", 0, "drop"))).toHaveLength(1);
  });

  it("finds a chain of the user's own in a table of iptables'", () => {
    expect(found(chain("ip", "filter", "early", "forward", 1))).toHaveLength(1);
  });

  it("tells of what changes behind a chain, and not of what changes elsewhere", () => {
    const with_ = (...extra: unknown[]): ForeignRule[] => {
      const ruleset = JSON.parse(chain("inet", "mine", "c", "forward", 1)) as { nftables: unknown[] };
      ruleset.nftables.push(...extra);
      return foreignChains(JSON.stringify(ruleset), both);
    };
    const rule = (table: string) => ({ rule: { family: "inet", table, chain: "deeper", expr: [] } });
    expect(with_(rule("other"))).toEqual(with_());
    expect(with_(rule("mine"))).not.toEqual(with_());
  });

  it("refuses what is no ruleset", () => {
    expect(() => foreignChains("", both)).toThrow(SyntaxError);
    expect(() => foreignChains("{}", both)).toThrow(TypeError);
  });
});

describe("what the engine translates", () => {
  it.each(["20.10", "29"])("is told by iptables' rules of engine %s", (name) => {
    expect(engineNatBySaved(fixture(`iptables-save-${name}.txt`))).toBe(true);
  });

  it("is nothing where its jump is not there", () => {
    expect(engineNatBySaved("")).toBe(false);
    expect(engineNatBySaved("*filter\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\nCOMMIT")).toBe(
      false,
    );
    expect(engineNatBySaved("*nat\n:DOCKER - [0:0]\n-A PREROUTING -j DOCKER-MINE\nCOMMIT")).toBe(false);
    expect(engineNatBySaved(fixture("iptables-save-ufw.txt"))).toBe(false);
  });

  it("is told by the tables of an engine that writes nftables itself", () => {
    const ruleset = fixture("nft-engine-29.json");
    expect([engineNatByRuleset(ruleset, 4), engineNatByRuleset(ruleset, 6)]).toEqual([true, true]);
    expect(foreignChains(ruleset, both)).toEqual([]);
    expect([hasIptables(ruleset, 4), hasIptables(ruleset, 6)]).toEqual([false, false]);
  });

  it("is told by its own tables of nftables, each family by its own", () => {
    const own = chain("ip6", "docker-bridges", "nat-PREROUTING", "prerouting", 1, "accept", "nat");
    expect([engineNatByRuleset(own, 4), engineNatByRuleset(own, 6)]).toEqual([false, true]);
    for (const other of [
      chain("ip6", "mine", "nat-PREROUTING", "prerouting", 1, "accept", "nat"),
      chain("ip6", "docker-bridges", "raw-PREROUTING", "prerouting", 1),
      chain("inet", "docker-bridges", "nat-PREROUTING", "prerouting", 1, "accept", "nat"),
    ]) {
      expect(engineNatByRuleset(other, 6)).toBe(false);
    }
  });
});

/** A ruleset of one base chain with so many rules. */
function chain(
  family: string,
  table: string,
  name: string,
  hook: string,
  rules: number,
  policy = "accept",
  type = "filter",
): string {
  return JSON.stringify({
    nftables: [
      { metainfo: { json_schema_version: 1 } },
      { table: { family, name: table, handle: 1 } },
      { chain: { family, table, name, handle: 1, type, hook, prio: 0, policy } },
      ...Array.from({ length: rules }, (_, handle) => ({
        rule: { family, table, chain: name, handle, expr: [{ drop: null }] },
      })),
    ],
  });
}
