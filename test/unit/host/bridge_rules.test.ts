import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { foreignRule, foreignTable } from "../../../src/host/bridge_rules.js";

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

function saved(name: keyof typeof engines): string {
  return readFileSync(new URL(`./fixtures/iptables-save-${name}.txt`, import.meta.url), "utf8");
}

describe.each(Object.keys(engines) as (keyof typeof engines)[])("foreignRule beside engine %s", (name) => {
  const bridges = engines[name];
  const plain = saved(name);
  /** The engine's rules with one more, in a table that may or may not be there. */
  const withRule = (table: string, rule: string) => `${plain}\n*${table}\n${rule}\nCOMMIT\n`;

  it("finds nothing in what the engine wrote", () => {
    expect(plain).toContain("-A FORWARD -j DOCKER-USER");
    expect(foreignRule(plain, bridges)).toBeUndefined();
  });

  it.each([
    ["filter", "-A DOCKER-USER -s 172.17.0.5/32 -j DROP"],
    ["filter", "-A DOCKER-USER -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j DROP"],
    ["filter", "-A DOCKER-USER -j LOG --log-prefix x"],
    ["filter", "-A FORWARD -j ufw-before-forward"],
    ["filter", "-A FORWARD -i docker0 -o docker0 -p tcp -m tcp --dport 22 -j DROP"],
    ["filter", "-A FORWARD -i br-+ -j DROP"],
    ["filter", "-A FORWARD ! -i eth0 -j DROP"],
    ["filter", "-A FORWARD -m physdev --physdev-is-bridged -j DROP"],
    ["filter", "-A FORWARD -j MYCHAIN"],
    ["nat", "-A POSTROUTING -s 172.17.0.0/16 -d 172.17.0.0/16 -j MASQUERADE"],
    ["nat", "-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 3128"],
    ["mangle", "-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"],
    ["raw", "-A PREROUTING -p udp -j NOTRACK"],
    ["mangle", ":FORWARD DROP [0:0]"],
  ])("finds in %s: %s", (table, rule) => {
    expect(foreignRule(withRule(table, rule), bridges)).toBe(`${table}: ${rule.replace(/^:/, "")}`);
  });

  it.each([
    ["filter", "-A FORWARD -i wg0 -j ACCEPT"],
    ["filter", "-A FORWARD -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"],
    ["filter", "-A DOCKER-USER -i eth0 -s 198.18.0.0/15 -j DROP"],
    ["filter", "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"],
    ["filter", "-A ufw-user-input -j DROP"],
    ["filter", ":FORWARD DROP [0:0]"],
    ["nat", "-A POSTROUTING -s 10.8.0.0/24 -o eth0 -j MASQUERADE"],
    ["nat", "-A OUTPUT -p tcp -j REDIRECT --to-ports 1"],
    ["mangle", "-A INPUT -j ACCEPT"],
  ])("does not mind in %s: %s", (table, rule) => {
    expect(foreignRule(withRule(table, rule), bridges)).toBeUndefined();
  });
});

describe("foreignTable", () => {
  const engine = "table ip nat\ntable ip filter\ntable ip raw\ntable ip6 filter\ntable ip docker-bridges\n";

  it("finds tables that are neither iptables' nor the engine's", () => {
    expect(foreignTable(engine, false)).toBeUndefined();
    expect(foreignTable("", false)).toBeUndefined();
    expect(foreignTable(`${engine}table inet firewalld\n`, false)).toBe("table inet firewalld");
    expect(foreignTable(`${engine}table ip mine\n`, false)).toBe("table ip mine");
    expect(foreignTable(`${engine}table bridge filter\n`, false)).toBe("table bridge filter");
  });

  it("finds only the bridge family's where bridged packets meet no others", () => {
    expect(foreignTable(`${engine}table inet firewalld\n`, true)).toBeUndefined();
    expect(foreignTable(`table inet x\ntable bridge filter\n`, true)).toBe("table bridge filter");
  });
});
