import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { engineDialsByRuleset, engineDialsBySaved } from "../../../src/host/engine_dials.js";
import { foreignDialChain, foreignDialRule } from "../../../src/host/firewall_rules.js";

const fixture = (name: string) => readFileSync(new URL(`fixtures/${name}`, import.meta.url), "utf8");
const engine = {
  bridges: new Set(["docker0"]),
  hostBridges: new Set(["docker0"]),
  snatAddresses: new Set(["2001:db8:2::9"]),
};
const nat = (...rules: string[]) => ["*nat", ":OUTPUT ACCEPT [0:0]", ...rules, "COMMIT"].join("\n");

describe("what the engine does with the host's own connections", () => {
  it.each(["20.10", "29"])(
    "leaves loopback to docker-proxy where that is on, by the rules of engine %s",
    (name) => {
      expect(engineDialsBySaved(fixture(`iptables-save-${name}.txt`), 4)).toEqual({
        translated: "addresses",
        masqueraded: new Map(),
      });
      expect(engineDialsBySaved(fixture(`ip6tables-save-${name}.txt`), 6).translated).toBe("addresses");
    },
  );

  it("translates all where it is off, and masquerades into the bridges, or translates to the address it was told", () => {
    const rules = nat(
      "-A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER",
      "-A POSTROUTING -o br-1 -m addrtype --src-type LOCAL -j MASQUERADE",
      "-A POSTROUTING -o br-2 -m addrtype --src-type LOCAL -j SNAT --to-source 198.18.0.5",
    );
    expect(engineDialsBySaved(rules, 4)).toEqual({
      translated: "all",
      masqueraded: new Map([
        ["br-1", undefined],
        ["br-2", "198.18.0.5"],
      ]),
    });
  });

  it("does nothing where it has no rules", () => {
    const none = { translated: "none", masqueraded: new Map() };
    expect(engineDialsBySaved("", 4)).toEqual(none);
    expect(engineDialsBySaved(nat("-A OUTPUT -j DOCKER-MINE"), 4)).toEqual(none);
    expect(engineDialsBySaved(fixture("iptables-save-ufw.txt"), 4)).toEqual(none);
    expect(engineDialsByRuleset(fixture("nft-firewalld.json"), 4)).toEqual(none);
  });

  it("is told by the tables of an engine that writes nftables itself, each family by its own", () => {
    const ruleset = fixture("nft-engine-29-proxy.json");
    const proxied = { translated: "addresses", masqueraded: new Map() };
    expect(engineDialsByRuleset(ruleset, 4)).toEqual(proxied);
    expect(engineDialsByRuleset(ruleset, 6)).toEqual(proxied);
  });

  it("is told by those tables also without docker-proxy", () => {
    const ruleset = fixture("nft-engine-29-no-proxy.json");
    expect(engineDialsByRuleset(ruleset, 4)).toEqual({
      translated: "all",
      masqueraded: new Map([
        ["docker0", undefined],
        ["br-snat", "198.18.2.2"],
      ]),
    });
    expect(engineDialsByRuleset(ruleset, 6)).toEqual({
      translated: "all",
      masqueraded: new Map([["docker0", undefined]]),
    });
  });
});

describe("rules that may concern the host's own connections to published ports", () => {
  it.each([
    "iptables-save-20.10.txt",
    "iptables-save-29.txt",
    "ip6tables-save-20.10.txt",
    "ip6tables-save-29.txt",
  ])("are none of the engine's: %s", (name) => {
    const bridges = new Set(
      [...fixture(name).matchAll(/ -[io] (\S+)/g)]
        .map(([, device]) => device ?? "")
        .filter((d) => d !== "lo"),
    );
    expect(foreignDialRule(fixture(name), { ...engine, bridges, hostBridges: bridges })).toBeUndefined();
  });

  const filter = (...rules: string[]) => ["*filter", ...rules, "COMMIT"].join("\n");

  it("are those of OUTPUT and INPUT, and their policies", () => {
    const of = (...rules: string[]) => foreignDialRule(filter(...rules), engine);
    expect(of("-A OUTPUT -p tcp --dport 80 -j DROP")).toBe("filter: -A OUTPUT -p tcp --dport 80 -j DROP");
    expect(of("-A INPUT -i lo -j ACCEPT")).toBe("filter: -A INPUT -i lo -j ACCEPT");
    expect(of("-A INPUT -i docker0 -j DROP")).toBe("filter: -A INPUT -i docker0 -j DROP");
    expect(of(":INPUT DROP [0:0]")).toBe("filter: INPUT DROP");
    expect(of(":OUTPUT ACCEPT [0:0]", ":FORWARD DROP [0:0]")).toBeUndefined();
    expect(foreignDialRule(fixture("iptables-save-ufw.txt"), engine)).toMatch(/^filter: /);
  });

  it("are not those for packets that others forward, or of another device", () => {
    expect(foreignDialRule(filter("-A FORWARD -j DROP", "-A DOCKER-USER -j DROP"), engine)).toBeUndefined();
    expect(foreignDialRule(filter("-A INPUT -i eth0 -p tcp --dport 22 -j ACCEPT"), engine)).toBeUndefined();
    expect(foreignDialRule(filter("-A OUTPUT -o eth0 -j DROP"), engine)).toBeUndefined();
    // Whatever is not eth0 is lo, too.
    expect(foreignDialRule(filter("-A INPUT ! -i eth0 -j DROP"), engine)).toMatch(/! -i eth0/);
  });

  it("are the chains of nftables with something in them, by family", () => {
    const ruleset = (hook: string, family = "inet", rules = 1) =>
      JSON.stringify({
        nftables: [
          { chain: { family, table: "mine", name: "c", type: "filter", hook, policy: "accept" } },
          ...Array.from({ length: rules }, () => ({ rule: { family, table: "mine", chain: "c", expr: [] } })),
        ],
      });
    expect(foreignDialChain(ruleset("output"), 4)).toBe("nftables: table inet mine, chain c");
    expect(foreignDialChain(ruleset("input"), 6)).toBe("nftables: table inet mine, chain c");
    expect(foreignDialChain(ruleset("output", "ip6"), 4)).toBeUndefined();
    expect(foreignDialChain(ruleset("forward"), 4)).toBeUndefined();
    expect(foreignDialChain(ruleset("output", "inet", 0), 4)).toBeUndefined();
    for (const name of ["proxy", "no-proxy"])
      expect(foreignDialChain(fixture(`nft-engine-29-${name}.json`), 4)).toBeUndefined();
    expect(foreignDialChain(fixture("nft-firewalld.json"), 4)).toMatch(/firewalld/);
  });
});
