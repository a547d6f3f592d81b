/**
 * What of a host's firewall is not the engine's own, and which packets it may concern: those routed between an uplink and
 * a container, and those bridged between two containers of one network. The latter meet the rules of iptables and nftables
 * only where net.bridge.bridge-nf-call-iptables is on (br_netfilter is what engines before 28 load, so that it mostly is).
 * What concerns a packet has to decide it: the engine's own rules may be passed by, a rule that a user wrote may not. When
 * unsure it is the user's. IPv4 and IPv6 are judged apart: what concerns one need not concern the other. Pure.
 */
import { FAMILIES, type Family, type PerFamily } from "../ip.js";

/** What the engine's rules are recognised by. */
export interface EngineTraces {
  /** Names of its bridges. */
  bridges: ReadonlySet<string>;
  /** Names of all bridges on the host: the engine writes a network's rules before it lists the network. */
  hostBridges: ReadonlySet<string>;
  /** Addresses that it was told to translate sources to, in place of the uplink's. */
  snatAddresses: ReadonlySet<string>;
}

export interface ForeignRule {
  /** One line for people, e.g. "filter: -A DOCKER-USER -s 10.0.0.0/8 -j DROP". */
  text: string;
  /** Of the packets. */
  families: readonly Family[];
  routed: boolean;
  bridged: boolean;
  /** What else changes when what is behind it changes. */
  behind?: unknown;
}

/** Chains of iptables that forwarded and bridged packets pass, by table, and the one that the engine leaves to the user. */
const PASSED: Readonly<Record<string, readonly string[]>> = {
  raw: ["PREROUTING"],
  mangle: ["PREROUTING", "FORWARD", "POSTROUTING"],
  nat: ["PREROUTING", "POSTROUTING"],
  filter: ["FORWARD", "DOCKER-USER"],
  security: ["FORWARD"],
};

const STANDARD_CHAINS = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

/**
 * The rules that engines from 20.10 to 29 write outside their own chains, as iptables-save prints them. `bridge` has to be a
 * bridge of the engine's, `own` that or one of a network that is not listed yet, `snat` an address that the engine was told.
 */
const ENGINES_OWN: Readonly<Record<string, readonly RegExp[]>> = {
  raw: [
    /^-A PREROUTING -d [\d.]+\/32 ! -i (?<bridge>\S+) -j DROP$/,
    /^-A PREROUTING -d [\da-f:]+\/128 ! -i (?<bridge>\S+) -j DROP$/,
    /^-A PREROUTING -d (127\.[\d.]+\/32|::1\/128) ! -i lo -p \w+ -m \w+ --dport \d+ -j DROP$/,
  ],
  nat: [
    /^-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER(-INGRESS)?$/,
    /^-A OUTPUT (! -d (127\.0\.0\.0\/8|::1\/128) )?-m addrtype --dst-type LOCAL -j DOCKER(-INGRESS)?$/,
    /^-A POSTROUTING -s \S+ ! -o (?<own>\S+) -j (MASQUERADE|SNAT --to-source (?<snat>\S+))$/,
    /^-A POSTROUTING -o (?<bridge>\S+) -m addrtype --src-type LOCAL -j (MASQUERADE|SNAT --to-source \S+)$/,
    // A container that reaches its own published port (hairpin): never from one container to another.
    /^-A POSTROUTING -s ([\d.]+\/32|[\da-f:]+\/128) -d \1 -p \w+ -m \w+ --dport \d+ -j (MASQUERADE|SNAT --to-source \S+)$/,
  ],
  filter: [
    /^-A FORWARD -j DOCKER-(USER|FORWARD|INGRESS|ISOLATION-STAGE-1|CT|INTERNAL|BRIDGE)$/,
    /^-A FORWARD -o (?<bridge>\S+) -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT$/,
    /^-A FORWARD -i (?<bridge>\S+) ! -o \k<bridge> -j ACCEPT$/,
    /^-A FORWARD -i (?<bridge>\S+) -o \k<bridge> -j (ACCEPT|DROP)$/,
    /^-A FORWARD -o (?<bridge>\S+) -j DOCKER$/,
    /^-A FORWARD -m set --match-set docker-ext-bridges-v[46] dst -j DOCKER$/,
    /^-A FORWARD -m set --match-set docker-ext-bridges-v[46] dst -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT$/,
    /^-A DOCKER-USER -j RETURN$/,
  ],
};

/** Chains that the engine fills. */
export const ENGINES_CHAINS = /^DOCKER(-FORWARD|-INGRESS|-ISOLATION-STAGE-[12]|-CT|-INTERNAL|-BRIDGE)?$/;

/** What an engine that translates addresses has in nat's PREROUTING. */
const ENGINES_NAT = "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER";

/** Bridges that the engine names itself: its rules are there before it lists the network. */
const ENGINES_BRIDGES = /^(docker0|docker_gwbridge|br-[0-9a-f]{12})$/;

/**
 * The rules and policies of iptables that are not the engine's, and those of the chains that they lead to.
 * @param saved what iptables-save, or ip6tables-save, printed
 * @param family of the two
 * @param uplinks names of the devices that lead outside
 * @param bridgedToo whether bridged packets meet them
 */
export function foreignRules(
  saved: Saved,
  family: Family,
  engine: EngineTraces,
  uplinks: ReadonlySet<string>,
  bridgedToo: boolean,
): ForeignRule[] {
  const families = [family];
  const found: ForeignRule[] = [];
  const unreadable = walkRules(saved, PASSED, ({ table, text, rule }) => {
    // The engine makes filter's FORWARD drop, and has an ACCEPT for all that may pass.
    if (rule === undefined && table === "filter") return false;
    const routed = concerns(text, (name) => uplinks.has(name) || isEngineBridge(name, engine));
    const bridged = bridgedToo && concerns(text, (name) => isEngineBridge(name, engine));
    if ((!routed && !bridged) || (rule !== undefined && isEngineRule(table, rule, engine))) return false;
    found.push({ text: `${table}: ${text}`, families, routed, bridged });
    return true;
  });
  for (const text of unreadable) found.push({ text, families, routed: true, bridged: bridgedToo });
  return found;
}

/**
 * Shows every rule of the named chains, and every policy of theirs that lets not everything pass, to `visit`; where that says
 * so, the chain that the rule leads to as well.
 * @returns lines that say what could not be printed
 */
function walkRules(
  saved: Saved,
  passed: Readonly<Record<string, readonly string[]>>,
  visit: (found: { table: string; text: string; rule?: string }) => boolean,
): string[] {
  const { tables, unreadable } = parseSaved(saved);
  for (const [table, { policies, rules }] of tables) {
    const chains = new Set(passed[table] ?? []);
    // The set grows while it is walked: by the chains that are led to.
    for (const chain of chains) {
      const policy = policies.get(chain) ?? "-";
      if (policy !== "-" && policy !== "ACCEPT") visit({ table, text: `${chain} ${policy}` });
      for (const rule of rules.get(chain) ?? []) {
        if (!visit({ table, text: rule, rule })) continue;
        const target = / -[jg] (\S+)/.exec(withoutQuoted(rule))?.[1];
        if (target !== undefined && !ENGINES_CHAINS.test(target)) chains.add(target);
      }
    }
  }
  return unreadable;
}

/**
 * The chains of nftables that are neither iptables' nor the engine's and do something with packets that are forwarded.
 * @param ruleset what `nft --json --stateless --terse list ruleset` printed
 * @param bridgedToo whether bridged packets meet those of IP's families, of each; they always meet the bridge family's
 * @throws SyntaxError, TypeError where it is nothing of the kind
 */
export function foreignChains(ruleset: Ruleset, bridgedToo: PerFamily<boolean>): ForeignRule[] {
  const objects = parseRuleset(ruleset);
  const found: ForeignRule[] = [];
  for (const { chain } of objects) {
    if (chain?.hook === undefined || !sees(chain) || isKnownChain(chain) || isIdle(chain, objects)) continue;
    const behind = objects.filter(({ chain: other, rule, set, map }) =>
      isOf(other ?? rule ?? set ?? map, chain),
    );
    const text = `nftables: table ${chain.family} ${chain.table}, chain ${chain.name}`;
    const families = familiesOf(chain);
    const bridged = LINK_FAMILIES.has(chain.family) || families.some((family) => bridgedToo[family]);
    found.push({ text, families, routed: true, bridged, behind });
  }
  return found;
}

/** Whether iptables keeps rules of a family in nftables. Parameters as foreignChains(). */
export function hasIptables(ruleset: Ruleset, family: Family): boolean {
  return parseRuleset(ruleset).some(
    ({ chain }) => chain !== undefined && isIptables(chain) && chain.family === NFT_FAMILY[family],
  );
}

/** Whether the engine translates addresses by what iptables-save, or ip6tables-save, printed. */
export function engineNatBySaved(saved: Saved): boolean {
  const nat = parseSaved(saved).tables.get("nat");
  return nat?.rules.get("PREROUTING")?.includes(ENGINES_NAT) ?? false;
}

/** Whether the engine translates a family's addresses by tables of its own. Parameters as foreignChains(). */
export function engineNatByRuleset(ruleset: Ruleset, family: Family): boolean {
  return parseRuleset(ruleset).some(
    ({ chain }) =>
      chain !== undefined &&
      isEngines(chain) &&
      chain.family === NFT_FAMILY[family] &&
      chain.hook === "prerouting" &&
      chain.type === "nat",
  );
}

export interface SavedTable {
  policies: Map<string, string>;
  rules: Map<string, string[]>;
}

export interface SavedRules {
  tables: Map<string, SavedTable>;
  /** Lines that say what could not be printed. */
  unreadable: string[];
}

/** What iptables-save, or ip6tables-save, printed; parsed already, or not. */
export type Saved = string | SavedRules;

export function parseSaved(saved: Saved): SavedRules {
  if (typeof saved !== "string") return saved;
  const tables = new Map<string, SavedTable>();
  const unreadable: string[] = [];
  let name = "";
  for (const line of saved.split("\n").map((l) => l.trim())) {
    if (line.startsWith("*")) name = line.slice(1);
    // "# Table `filter' is incompatible, use 'nft' tool."
    else if (line.startsWith("#") && line.includes("incompatible")) unreadable.push(line.slice(1).trim());
    const table = tables.get(name) ?? { policies: new Map(), rules: new Map() };
    tables.set(name, table);
    const [first = "", second = ""] = line.split(" ", 2);
    if (line.startsWith(":")) table.policies.set(first.slice(1), second);
    if (first !== "-A") continue;
    const rules = table.rules.get(second) ?? [];
    table.rules.set(second, rules);
    rules.push(line);
  }
  return { tables, unreadable };
}

export function isEngineRule(table: string, rule: string, engine: EngineTraces): boolean {
  return (ENGINES_OWN[table] ?? []).some((own) => {
    const match = own.exec(rule);
    if (match === null) return false;
    const { bridge, own: masqueraded, snat } = match.groups ?? {};
    if (bridge !== undefined) return isEngineBridge(bridge, engine);
    if (masqueraded === undefined) return true;
    // Of a network that is not listed yet the address is not known, and nothing of it is on the fast path.
    const snatKnown =
      snat === undefined || engine.snatAddresses.has(snat) || !engine.bridges.has(masqueraded);
    return snatKnown && (isEngineBridge(masqueraded, engine) || engine.hostBridges.has(masqueraded));
  });
}

export function isEngineBridge(name: string, engine: EngineTraces): boolean {
  return engine.bridges.has(name) || ENGINES_BRIDGES.test(name);
}

/** A rule for packets that come in or go out at a device that none of ours pass can't concern them. */
function concerns(rule: string, passes: (name: string) => boolean): boolean {
  for (const [, negated, name = ""] of withoutQuoted(rule).matchAll(/ (! )?-[io] (\S+)/g)) {
    if (negated === undefined && !name.endsWith("+") && !passes(name)) return false;
  }
  return true;
}

/** Comments and the like may hold anything, other rules' words too. */
export function withoutQuoted(rule: string): string {
  return rule.replace(/"(\\.|[^"\\])*"/g, '""');
}

/** As nft's JSON has it (libnftables-json(5)); what is not read is left out. */
export interface NftChain {
  family: string;
  table: string;
  name: string;
  /** Only of those that packets come to by themselves: "nat", "filter", ... */
  type?: string;
  hook?: string;
  prio?: number;
  policy?: string;
}

type NftPart = { family?: string; table?: string; chain?: string };

export interface NftObject {
  chain?: NftChain;
  rule?: NftPart & { expr?: unknown };
  set?: NftPart;
  map?: NftPart;
}

export const NFT_FAMILY: PerFamily<string> = { 4: "ip", 6: "ip6" };

export const LINK_FAMILIES: ReadonlySet<string> = new Set(["bridge", "netdev"]);

/** What `nft --json --stateless --terse list ruleset` printed; parsed already, or not. */
export type Ruleset = string | readonly NftObject[];

/** @throws SyntaxError, TypeError where it is nothing of the kind */
export function parseRuleset(ruleset: Ruleset): readonly NftObject[] {
  if (typeof ruleset !== "string") return ruleset;
  return (JSON.parse(ruleset) as { nftables: NftObject[] }).nftables;
}

/** Nothing in it, and nothing that it does to what comes to its end. */
export function isIdle(chain: NftChain, objects: readonly NftObject[]): boolean {
  return (
    chain.policy !== "drop" && !objects.some(({ rule }) => isOf(rule, chain) && rule?.chain === chain.name)
  );
}

/** What is forwarded passes the bridge's input and output as well: between its ports and the bridge as a host's device. */
function sees({ family, hook }: NftChain): boolean {
  if (LINK_FAMILIES.has(family)) return true;
  return ["ip", "ip6", "inet"].includes(family) && hook !== "input" && hook !== "output";
}

/** Those of IP's families whose packets a chain sees. */
export function familiesOf({ family }: NftChain): readonly Family[] {
  return family === "ip" ? [4] : family === "ip6" ? [6] : FAMILIES;
}

export function isKnownChain(chain: NftChain): boolean {
  return isIptables(chain) || isEngines(chain) || isOurs(chain);
}

/** Mode replace's slow path, and what concerns ipvlan's containers alone. */
function isOurs({ family, table }: NftChain): boolean {
  return family === "inet" && (table === "fairway" || table === "fairway_parents");
}

export function isEngines({ family, table }: NftChain): boolean {
  return (family === "ip" || family === "ip6") && table === "docker-bridges";
}

function isIptables({ family, table, name }: NftChain): boolean {
  return (
    (family === "ip" || family === "ip6") && Object.hasOwn(PASSED, table) && STANDARD_CHAINS.includes(name)
  );
}

export function isOf(part: NftPart | undefined, { family, table }: NftChain): boolean {
  return part?.family === family && part.table === table;
}
