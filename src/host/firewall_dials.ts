/**
 * Whether a rule of the user's may stand in the way of what processes of the host send to published ports, or of the answers. The
 * engine's own way and fairway's differ in what rules see of a packet: addresses, ports, the process that sends it, and that
 * docker-proxy has two connections where fairway has one. So there must be nothing in the way of either, whatever else of a
 * packet is known than this: it comes and goes by lo or a bridge of the engine's, it is of a connection that the host opened, and an
 * answer by a bridge is never a connection's first packet. That is enough for the usual shape of a closed host: lo is accepted,
 * established connections are, what comes in otherwise is dropped, and what goes out is not. Pure.
 */
import type { Family } from "../ip.js";
import {
  ENGINES_CHAINS,
  type EngineTraces,
  familiesOf,
  isEngineBridge,
  isEngineRule,
  isIdle,
  isKnownChain,
  isOf,
  LINK_FAMILIES,
  parseRuleset,
  parseSaved,
  type Ruleset,
  type Saved,
  type SavedTable,
  withoutQuoted,
} from "./firewall_rules.js";
import { type Action, both, covers, type Match, not, type Step, stoppedBy } from "./rule_walk.js";

/** A kind of packets at one hook. */
interface Passing {
  readonly hook: "prerouting" | "input" | "output" | "postrouting";
  readonly device: "lo" | "bridge";
  readonly states: readonly string[];
}

/** The same as the rules of one chain see it. */
interface View extends Passing {
  /** Whether the packets' connection is known where the chain stands. */
  readonly tracked: boolean;
  readonly engine: EngineTraces;
}

const OPENED = ["new", "established"];
const ANSWERED = ["established"];

/** Out by lo or a bridge; in by lo, where the host is the other end too, and by a bridge, where answers come from. */
const PASSINGS: readonly Passing[] = (["lo", "bridge"] as const).flatMap((device) => {
  const back = device === "lo" ? OPENED : ANSWERED;
  return [
    { hook: "output", device, states: OPENED } as const,
    { hook: "postrouting", device, states: OPENED } as const,
    { hook: "prerouting", device, states: back } as const,
    { hook: "input", device, states: back } as const,
  ];
});

/** The chains of iptables' tables that there are. */
const PASSED: Readonly<Record<string, readonly Passing["hook"][]>> = {
  raw: ["output", "prerouting"],
  mangle: ["output", "postrouting", "prerouting", "input"],
  nat: ["output", "postrouting", "prerouting", "input"],
  filter: ["output", "input"],
  security: ["output", "input"],
};

/**
 * The first rule or policy of iptables that is not the engine's and may be in the way; undefined: none is.
 * @param saved what iptables-save, or ip6tables-save, printed
 */
export function foreignDialRule(saved: Saved, engine: EngineTraces): string | undefined {
  const { tables, unreadable } = parseSaved(saved);
  for (const [table, saved] of tables) {
    for (const passing of PASSINGS) {
      if (!PASSED[table]?.includes(passing.hook)) continue;
      const chain = passing.hook.toUpperCase();
      const policy = saved.policies.get(chain) ?? "-";
      const view = { ...passing, tracked: table !== "raw", engine };
      const stopped = stoppedBy(chain, (name) => savedSteps(table, saved, name, view), {
        accepts: policy === "-" || policy === "ACCEPT",
        text: `${table}: ${chain} ${policy}`,
      });
      if (stopped !== undefined) return stopped;
    }
  }
  return unreadable[0];
}

const TARGETS: Readonly<Record<string, Action["kind"]>> = {
  ACCEPT: "accept",
  RETURN: "return",
  LOG: "nothing",
  NFLOG: "nothing",
};

function savedSteps(table: string, { rules, policies }: SavedTable, chain: string, view: View): Step[] {
  return (rules.get(chain) ?? []).flatMap((rule) => {
    if (isEngineRule(table, rule, view.engine)) return [];
    const { match, verb, target } = readRule(rule, view);
    const isChain = policies.has(target) && !ENGINES_CHAINS.test(target);
    const kind = target === "" ? "nothing" : (TARGETS[target] ?? (isChain ? verb : "stop"));
    const action: Action = kind === "jump" || kind === "goto" ? { kind, chain: target } : { kind };
    return [{ match, action, text: `${table}: ${rule}` }];
  });
}

/** What of the packets a rule matches, and where it leads them. */
function readRule(rule: string, view: View) {
  const words = withoutQuoted(rule).split(" ").slice(2);
  const negated = { now: false };
  let match: Match = "all";
  while (words.length > 0) {
    const word = words.shift() ?? "";
    const negate = negated.now;
    negated.now = word === "!";
    if (negated.now) continue;
    if (word === "-j" || word === "-g")
      return { match, verb: word === "-j" ? "jump" : "goto", target: words[0] ?? "" } as const;
    let condition: Match = "some";
    if (word === "-i" || word === "-o")
      condition = byDevice(word === "-i", (words.shift() ?? "").replace(/\+$/, "*"), view);
    else if (word === "--ctstate" || word === "--state")
      condition = byState((words.shift() ?? "").toLowerCase().split(","), view);
    // Linux sends no such header, whatever a process asks for.
    else if (word === "--rt-type" && words[0] === "0") {
      words.shift();
      condition = "none";
    }
    // What these modules are loaded for comes next.
    else if (word === "-m" && /^(conntrack|state|comment|rt)$/.test(words[0] ?? "")) {
      words.shift();
      continue;
    } else if (word === "--comment") {
      words.shift();
      continue;
    }
    match = both(match, negate ? not(condition) : condition);
  }
  return { match, verb: "jump", target: "" } as const;
}

/** @param pattern a device's name, or with an asterisk at its end what names begin with */
function byDevice(isInput: boolean, pattern: string, { hook, device, engine }: View): Match {
  const comesIn = hook === "prerouting" || hook === "input";
  // A packet has no such device there; what that is like differs between kernels.
  if (isInput !== comesIn) return "some";
  const begin = pattern.endsWith("*") ? pattern.slice(0, -1) : undefined;
  if (device === "lo")
    return (begin === undefined ? pattern === "lo" : "lo".startsWith(begin)) ? "all" : "none";
  if (begin === "") return "all";
  return begin !== undefined || isEngineBridge(pattern, engine) ? "some" : "none";
}

function byState(listed: readonly string[], { states, tracked }: View): Match {
  // "dnat" and "snat" are no states: any of these packets may have them.
  const certain = tracked && !listed.includes("dnat") && !listed.includes("snat");
  return certain ? covers(new Set(listed), states) : "some";
}

/** NF_IP_PRI_CONNTRACK: before it a packet's connection is not known. */
const TRACKED_FROM = -200;

/**
 * The first rule of a chain of nftables that is neither iptables' nor the engine's and may be in the way, for a family.
 * @param ruleset what `nft --json --stateless --terse list ruleset` printed
 * @throws SyntaxError, TypeError where it is nothing of the kind
 */
export function foreignDialChain(ruleset: Ruleset, family: Family, engine: EngineTraces): string | undefined {
  const objects = parseRuleset(ruleset);
  for (const { chain } of objects) {
    if (chain?.hook === undefined || chain.hook === "forward" || chain.family === "arp") continue;
    if (!familiesOf(chain).includes(family) || isKnownChain(chain) || isIdle(chain, objects)) continue;
    const text = (name: string) => `nftables: table ${chain.family} ${chain.table}, chain ${name}`;
    // Of bridges and devices: what of these packets they see is not understood.
    const passings = PASSINGS.filter(({ hook }) => hook === chain.hook);
    if (LINK_FAMILIES.has(chain.family) || passings.length === 0) return text(chain.name);
    for (const passing of passings) {
      const late = passing.hook === "input" || passing.hook === "postrouting";
      const view = {
        ...passing,
        tracked: late || (chain.prio ?? TRACKED_FROM) > TRACKED_FROM,
        engine,
        family,
      };
      const stopped = stoppedBy(
        chain.name,
        (name) =>
          objects.flatMap(({ rule }) =>
            rule?.chain === name && isOf(rule, chain) ? nftSteps(rule.expr, text(name), view) : [],
          ),
        {
          accepts: chain.policy !== "drop",
          text: text(chain.name),
        },
      );
      if (stopped !== undefined) return stopped;
    }
  }
  return undefined;
}

type Statement = Readonly<Record<string, unknown>>;

type NftView = View & { readonly family: Family };

/** One rule of nftables: a step for each verdict in it. */
function nftSteps(expr: unknown, text: string, view: NftView): Step[] {
  const steps: Step[] = [];
  let match: Match = "all";
  for (const statement of (Array.isArray(expr) && expr.length > 0 ? expr : [{}]) as Statement[]) {
    const read = readStatement(statement, view);
    if ("condition" in read) match = both(match, read.condition);
    else
      for (const { condition, action } of read.actions)
        steps.push({ match: both(match, condition), action, text });
  }
  return steps;
}

type Read = { condition: Match } | { actions: { condition: Match; action: Action }[] };

function readStatement(statement: Statement, view: NftView): Read {
  if ("limit" in statement) return { condition: "some" };
  if ("match" in statement) return { condition: readMatch(statement.match as NftMatch, view) };
  if ("vmap" in statement) {
    const { key, data } = statement.vmap as { key?: { ct?: { key?: string } }; data?: { set?: unknown } };
    const pairs = data?.set;
    if (key?.ct?.key !== "state" || !Array.isArray(pairs)) return certainly({ kind: "stop" });
    return {
      actions: (pairs as [unknown, Statement][]).map(([state, verdict]) => ({
        condition: typeof state === "string" ? byState([state], view) : "some",
        action: verdictOf(verdict),
      })),
    };
  }
  return certainly(verdictOf(statement));
}

function certainly(action: Action): Read {
  return { actions: [{ condition: "all", action }] };
}

const VERDICTS: Readonly<Record<string, Action["kind"]>> = {
  accept: "accept",
  return: "return",
  continue: "nothing",
  counter: "nothing",
  log: "nothing",
};

function verdictOf(statement: Statement): Action {
  const [name = ""] = Object.keys(statement);
  if (name === "jump" || name === "goto") {
    const { target } = statement[name] as { target?: string };
    return target === undefined ? { kind: "stop" } : { kind: name, chain: target };
  }
  const kind = VERDICTS[name];
  return kind === undefined ? { kind: "stop" } : ({ kind } as Action);
}

interface NftMatch {
  op?: string;
  left?: { meta?: { key?: string }; ct?: { key?: string }; payload?: { protocol?: string } };
  right?: unknown;
}

function readMatch({ op, left, right }: NftMatch, view: NftView): Match {
  // A header that these packets don't have: nft asks for it first, whatever is compared then.
  const protocol = left?.payload?.protocol ?? "";
  if (protocol === (view.family === 4 ? "ip6" : "ip") || /^icmp/.test(protocol)) return "none";
  const listed = textsOf(right);
  const negate = op === "!=";
  if (listed === undefined || !["==", "in", "!="].includes(op ?? "")) return "some";
  const key = left?.meta?.key;
  let match: Match = "some";
  if (key === "iifname" || key === "oifname" || key === "iif" || key === "oif") {
    const matches = listed.map((name) => byDevice(key.startsWith("i"), name, view));
    match = matches.includes("all") ? "all" : matches.includes("some") ? "some" : "none";
  } else if (key === "nfproto") match = listed.includes(`ipv${view.family}`) ? "all" : "none";
  else if (left?.ct?.key === "state") match = byState(listed, view);
  return negate ? not(match) : match;
}

/** One text, or those of a list or a set without intervals or a name. */
function textsOf(right: unknown): string[] | undefined {
  if (typeof right === "string") return right.startsWith("@") ? undefined : [right];
  const list = Array.isArray(right) ? right : (right as { set?: unknown } | null | undefined)?.set;
  if (!Array.isArray(list) || !list.every((one) => typeof one === "string")) return undefined;
  return list as string[];
}
