/**
 * What the engine's rules do with connections of the host's own to published ports, read off the rules. Pure. With
 * docker-proxy (the default) they leave loopback addresses to it and don't touch the source; without it they translate
 * loopback's as well, and masquerade all that the host sends into a network's bridge.
 */
import { type Address, canonical, type Family } from "../ip.js";
import {
  isEngines,
  NFT_FAMILY,
  type NftObject,
  parseRuleset,
  parseSaved,
  type Ruleset,
  type Saved,
} from "./firewall_rules.js";

export interface EngineDials {
  /** Which of the host's addresses the rules translate: none, all but loopback's (docker-proxy is there), or all. */
  translated: "none" | "addresses" | "all";
  /** The bridges that the host's own packets are masqueraded into; to what, where that is not as MASQUERADE chooses. */
  masqueraded: ReadonlyMap<string, Address | undefined>;
}

const OUTPUT =
  /^-A OUTPUT (?<except>! -d (127\.0\.0\.0\/8|::1\/128) )?-m addrtype --dst-type LOCAL -j DOCKER$/;
const MASQUERADE =
  /^-A POSTROUTING -o (?<bridge>\S+) -m addrtype --src-type LOCAL -j (MASQUERADE|SNAT --to-source (?<source>\S+))$/;

/** @param saved what iptables-save, or ip6tables-save, printed */
export function engineDialsBySaved(saved: Saved, family: Family): EngineDials {
  const rules = parseSaved(saved).tables.get("nat")?.rules;
  const output = (rules?.get("OUTPUT") ?? [])
    .map((rule) => OUTPUT.exec(rule))
    .find((match) => match !== null);
  const masqueraded = new Map<string, Address | undefined>();
  for (const rule of rules?.get("POSTROUTING") ?? []) {
    const { bridge, source } = MASQUERADE.exec(rule)?.groups ?? {};
    if (bridge !== undefined) masqueraded.set(bridge, canonical(source ?? "", family));
  }
  const translated =
    output === undefined ? "none" : output.groups?.except === undefined ? "all" : "addresses";
  return { translated, masqueraded };
}

/** The statements of a rule of nftables that are read here, as libnftables-json(5) has them. */
interface Statement {
  match?: { left?: { payload?: { field?: string }; fib?: { flags?: string | string[] } }; right?: unknown };
  jump?: { target?: string };
  masquerade?: unknown;
  snat?: { addr?: unknown };
}

const IN_CHAIN = "nat-postrouting-in__";

/**
 * The same of the engine's nftables backend.
 * @param ruleset what `nft --json --stateless --terse list ruleset` printed
 */
export function engineDialsByRuleset(ruleset: Ruleset, family: Family): EngineDials {
  const own = parseRuleset(ruleset).filter((object) => isEnginesOwn(object, family));
  const output = own.find(({ chain }) => chain?.hook === "output" && chain.type === "nat")?.chain?.name;
  const masqueraded = new Map<string, Address | undefined>();
  let translated: EngineDials["translated"] = "none";
  for (const { rule } of own) {
    if (rule === undefined) continue;
    const statements = (Array.isArray(rule.expr) ? rule.expr : []) as Statement[];
    if (rule.chain === output && statements.some(({ jump }) => jump !== undefined)) {
      const except = statements.some(({ match }) => match?.left?.payload?.field === "daddr");
      translated = except ? "addresses" : "all";
    }
    if (!rule.chain?.startsWith(IN_CHAIN) || !isOfLocalSource(statements)) continue;
    const bridge = rule.chain.slice(IN_CHAIN.length);
    const source = statements.find(({ snat }) => snat !== undefined)?.snat?.addr;
    if (typeof source === "string") masqueraded.set(bridge, canonical(source, family));
    else if (statements.some((one) => "masquerade" in one)) masqueraded.set(bridge, undefined);
  }
  return { translated, masqueraded };
}

function isEnginesOwn({ chain, rule }: NftObject, family: Family): boolean {
  const part = chain ?? rule;
  if (part?.family !== NFT_FAMILY[family] || part.table === undefined) return false;
  return isEngines({ family: part.family, table: part.table, name: "" });
}

function isOfLocalSource(statements: readonly Statement[]): boolean {
  return statements.some(({ match }) => {
    const flags = match?.left?.fib?.flags;
    return (
      match?.right === "local" && (flags === "saddr" || (Array.isArray(flags) && flags.includes("saddr")))
    );
  });
}
