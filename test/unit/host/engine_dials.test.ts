import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { engineDialsByRuleset, engineDialsBySaved } from "../../../src/host/engine_dials.js";
import { foreignDialChain, foreignDialRule } from "../../../src/host/firewall_dials.js";

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

  const of = (...rules: string[]) => foreignDialRule(filter(...rules), engine);

  it("are those of OUTPUT and INPUT that drop, and their policies", () => {
    expect(of("-A OUTPUT -p tcp --dport 80 -j DROP")).toBe("filter: -A OUTPUT -p tcp --dport 80 -j DROP");
    expect(of("-A INPUT -i docker0 -j DROP")).toBe("filter: -A INPUT -i docker0 -j DROP");
    expect(of(":INPUT DROP [0:0]")).toBe("filter: INPUT DROP");
    expect(of(":OUTPUT ACCEPT [0:0]", ":FORWARD DROP [0:0]")).toBeUndefined();
    expect(foreignDialRule(fixture("iptables-save-ufw.txt"), engine)).toBe("filter: INPUT DROP");
  });

  const closed = [
    ":INPUT DROP [0:0]",
    "-A INPUT -i lo -j ACCEPT",
    "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
  ];

  it("are none on a closed host that accepts lo and what is established, nor what ufw writes", () => {
    expect(of(...closed)).toBeUndefined();
    expect(of(...closed, '-A INPUT -m comment --comment "-i lo" -j DROP')).toBeUndefined();
    expect(
      of(...closed, "-A INPUT -m state --state NEW -j REJECT", "-A OUTPUT -o eth0 -j DROP"),
    ).toBeUndefined();
    expect(of("-A INPUT -m conntrack --ctstate INVALID -j DROP", ...closed)).toBeUndefined();
    expect(of("-A INPUT -s 10.0.0.1/32 -j LOG --log-prefix x", ...closed)).toBeUndefined();
    for (const name of ["iptables", "ip6tables"])
      expect(foreignDialRule(fixture(`${name}-save-ufw-0.36.txt`), engine)).toBeUndefined();
  });

  it("are the policy or the drop where lo or what is established is accepted only partly, or too late", () => {
    const [policy = "", lo = "", established = ""] = closed;
    expect(of(policy, established)).toBe("filter: INPUT DROP");
    expect(of(policy, lo)).toBe("filter: INPUT DROP");
    expect(of(policy, `${lo.replace("-i lo", "-i lo -p tcp")}`, established)).toBe("filter: INPUT DROP");
    expect(of(policy, lo, established.replace("--ctstate", "-p tcp -m conntrack --ctstate"))).toBe(
      "filter: INPUT DROP",
    );
    expect(of(policy, lo.replace("-i", "! -i"), established)).toBe("filter: INPUT DROP");
    expect(of(policy, lo, established.replace("--ctstate", "! --ctstate"))).toBe("filter: INPUT DROP");
    const blocked = "-A INPUT -s 10.0.0.1/32 -j DROP";
    expect(of(policy, blocked, lo, established)).toBe(`filter: ${blocked}`);
    // The first packet of what the host opens has no connection yet.
    expect(
      of(":OUTPUT DROP [0:0]", established.replace("INPUT", "OUTPUT"), "-A OUTPUT -o lo -j ACCEPT"),
    ).toBe("filter: OUTPUT DROP");
    expect(
      foreignDialRule(
        ["*raw", ":PREROUTING DROP", established.replace("INPUT", "PREROUTING")].join("\n"),
        engine,
      ),
    ).toBe("raw: PREROUTING DROP");
  });

  it("are those that change a packet, and those that nobody here understands", () => {
    for (const target of ["MARK --set-xmark 0x1/0xffffffff", "NFQUEUE --queue-num 0", "DOCKER", "NOWHERE"]) {
      const rule = `-A OUTPUT -j ${target}`;
      expect(of(rule)).toBe(`filter: ${rule}`);
    }
    expect(
      foreignDialRule(["*nat", "-A POSTROUTING -s 10.0.0.0/8 -j MASQUERADE"].join("\n"), engine),
    ).toMatch(/^nat/);
    expect(
      foreignDialRule(["*nat", "-A POSTROUTING -o eth0 -j MASQUERADE"].join("\n"), engine),
    ).toBeUndefined();
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
    expect(foreignDialChain(ruleset("output"), 4, engine)).toBe("nftables: table inet mine, chain c");
    expect(foreignDialChain(ruleset("input"), 6, engine)).toBe("nftables: table inet mine, chain c");
    expect(foreignDialChain(ruleset("output", "ip6"), 4, engine)).toBeUndefined();
    expect(foreignDialChain(ruleset("forward"), 4, engine)).toBeUndefined();
    expect(foreignDialChain(ruleset("output", "inet", 0), 4, engine)).toBeUndefined();
    for (const name of ["proxy", "no-proxy"])
      expect(foreignDialChain(fixture(`nft-engine-29-${name}.json`), 4, engine)).toBeUndefined();
    expect(foreignDialChain(fixture("nft-firewalld-1.3.json"), 4, engine)).toBeUndefined();
    // Its test of IPv6's sources is not understood.
    expect(foreignDialChain(fixture("nft-firewalld-1.3.json"), 6, engine)).toMatch(/chain filter_PREROUTING/);
    // It lacks the rule about lo.
    expect(foreignDialChain(fixture("nft-firewalld.json"), 4, engine)).toMatch(
      /firewalld, chain filter_INPUT/,
    );
  });

  it("are none on a host that nftables closes in the usual way", () => {
    const mine = { family: "inet", table: "mine" };
    const ruleset = (...exprs: unknown[]) =>
      JSON.stringify({
        nftables: [
          { chain: { ...mine, name: "in", type: "filter", hook: "input", prio: 0, policy: "drop" } },
          ...exprs.map((expr) => ({ rule: { ...mine, chain: "in", expr } })),
        ],
      });
    const is = (left: unknown, right: unknown, op = "==") => ({ match: { op, left, right } });
    const [device, state] = [{ meta: { key: "iifname" } }, { ct: { key: "state" } }];
    const accept = { accept: null };
    const lo = [is(device, "lo"), accept];
    const established = [is(state, { set: ["established", "related"] }, "in"), { counter: null }, accept];
    const invalid = [is(state, "invalid", "in"), { drop: null }];
    const verdicts = [
      ["established", accept],
      ["related", accept],
      ["invalid", { drop: null }],
    ];
    const byMap = [{ vmap: { key: state, data: { set: verdicts } } }];
    const judged = (...exprs: unknown[]) => foreignDialChain(ruleset(...exprs), 4, engine);
    expect(judged(lo, established)).toBeUndefined();
    expect(judged(byMap, lo)).toBeUndefined();
    expect(
      judged(invalid, established, lo, [{ log: null }], [{ reject: { type: "icmpx" } }]),
    ).toBeUndefined();
    const chain = "nftables: table inet mine, chain in";
    expect(judged(lo)).toBe(chain);
    expect(judged(established)).toBe(chain);
    expect(judged([is({ meta: { key: "nfproto" } }, "ipv6"), ...lo], established)).toBe(chain);
    expect(judged([is(device, "lo", "!="), accept], established)).toBe(chain);
    expect(judged([is(device, "@mine"), accept], established)).toBe(chain);
    expect(judged(lo, [{ limit: { rate: 1 } }, ...established])).toBe(chain);
    expect(judged([{ vmap: { key: state, data: "@verdicts" } }], lo, established)).toBe(chain);
    const payload = (protocol: string) => ({ payload: { protocol, field: "daddr" } });
    expect(judged([is(payload("ip6"), "::1", "!="), { drop: null }], lo, established)).toBeUndefined();
    expect(judged([is(payload("icmpv6"), "echo-request"), { drop: null }], lo, established)).toBeUndefined();
    expect(judged([is(payload("ip"), "10.0.0.1"), { drop: null }], lo, established)).toBe(chain);
    expect(judged([{ mangle: {} }], lo, established)).toBe(chain);
  });
});
