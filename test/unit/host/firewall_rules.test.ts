import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
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
  const found = (rules: string, bridgedToo = true) => foreignRules(rules, engine, uplinks, bridgedToo);
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
    expect(foreignRules(named.join("\n"), early, uplinks, true)).toEqual([]);
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
    expect(found(withRules(table, rule))).toEqual([{ text, routed: true, bridged: true }]);
    expect(found(withRules(table, rule), false)).toEqual([{ text, routed: true, bridged: false }]);
  });

  it.each([
    ["filter", "-A DOCKER-USER -i eth0 -s 198.18.0.0/15 -j DROP"],
    ["filter", "-A FORWARD -i eth0 -o docker0 -j DROP"],
    ["nat", "-A POSTROUTING -s 10.8.0.0/24 -o eth0 -j MASQUERADE"],
  ])("finds for routed packets only in %s: %s", (table, rule) => {
    expect(found(withRules(table, rule))).toEqual([
      { text: `${table}: ${rule}`, routed: true, bridged: false },
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
      { text: "mangle: FORWARD DROP", routed: true, bridged: true },
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
    expect(found(table)).toEqual([{ text: table.slice(2), routed: true, bridged: true }]);
  });
});

describe("foreignChains", () => {
  const found = (ruleset: string, bridgedToo = true) =>
    foreignChains(ruleset, bridgedToo).map(({ behind: _, ...rule }) => rule);

  it("finds neither iptables' chains nor the engine's own", () => {
    expect(fixture("nft-iptables.json")).toContain("FORWARD");
    expect(foreignChains(fixture("nft-iptables.json"), true)).toEqual([]);
    expect(hasIptables(fixture("nft-iptables.json"))).toBe(true);
    expect(foreignChains(chain("ip", "docker-bridges", "filter-FORWARD", "forward", 1), true)).toEqual([]);
    expect(hasIptables(chain("ip", "docker-bridges", "filter-FORWARD", "forward", 1))).toBe(false);
    expect(foreignChains('{"nftables": []}', true)).toEqual([]);
  });

  it("finds firewalld's", () => {
    const forward = {
      text: "nftables: table inet firewalld, chain filter_FORWARD",
      routed: true,
      bridged: true,
    };
    expect(found(fixture("nft-firewalld.json"))).toContainEqual(forward);
    expect(found(fixture("nft-firewalld.json"), false)).toContainEqual({ ...forward, bridged: false });
    expect(found(fixture("nft-firewalld.json")).some(({ text }) => text.includes("INPUT"))).toBe(false);
  });

  it.each([
    ["inet", "forward"],
    ["inet", "prerouting"],
    ["ip", "postrouting"],
    ["inet", "ingress"],
    ["ip", "something-new"],
  ])("finds a chain of %s at %s, for bridged packets where they meet it", (family, hook) => {
    const text = `nftables: table ${family} mine, chain c`;
    expect(found(chain(family, "mine", "c", hook, 1))).toEqual([{ text, routed: true, bridged: true }]);
    expect(found(chain(family, "mine", "c", hook, 1), false)).toEqual([
      { text, routed: true, bridged: false },
    ]);
  });

  it.each([
    ["bridge", "forward"],
    ["bridge", "input"],
    ["netdev", "ingress"],
  ])("finds a chain of %s at %s, for bridged packets always", (family, hook) => {
    expect(found(chain(family, "mine", "c", hook, 1), false)).toMatchObject([
      { routed: true, bridged: true },
    ]);
  });

  it.each([
    ["inet", "input"],
    ["ip", "output"],
    ["ip6", "forward"],
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
      return foreignChains(JSON.stringify(ruleset), true);
    };
    const rule = (table: string) => ({ rule: { family: "inet", table, chain: "deeper", expr: [] } });
    expect(with_(rule("other"))).toEqual(with_());
    expect(with_(rule("mine"))).not.toEqual(with_());
  });

  it("refuses what is no ruleset", () => {
    expect(() => foreignChains("", true)).toThrow(SyntaxError);
    expect(() => foreignChains("{}", true)).toThrow(TypeError);
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
): string {
  return JSON.stringify({
    nftables: [
      { metainfo: { json_schema_version: 1 } },
      { table: { family, name: table, handle: 1 } },
      { chain: { family, table, name, handle: 1, type: "filter", hook, prio: 0, policy } },
      ...Array.from({ length: rules }, (_, handle) => ({
        rule: { family, table, chain: name, handle, expr: [{ drop: null }] },
      })),
    ],
  });
}
