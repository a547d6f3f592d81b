import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { errorCode, errorMessage } from "../errors.js";
import { FAMILIES, type Family, type PerFamily, perFamily } from "../ip.js";
import { type EngineDials, engineDialsByRuleset, engineDialsBySaved } from "./engine_dials.js";
import { foreignDialChain, foreignDialRule } from "./firewall_dials.js";
import {
  type EngineTraces,
  engineNatByRuleset,
  engineNatBySaved,
  type ForeignRule,
  foreignChains,
  foreignRules,
  hasIptables,
  parseRuleset,
  parseSaved,
} from "./firewall_rules.js";
import type { FirewallState, HostDials } from "./state.js";
import { readSysctl } from "./sysctl.js";

const TIMEOUT_MS = 10_000;
const OUTPUT_MAX = 64 * 1024 * 1024;
const TEXT_MAX = 200;

/** The names of each family's tools, and where the kernel says which of its old tables are in use. */
const TOOLS: PerFamily<{ nft: string; legacy: string; either: string; tables: string }> = {
  4: {
    nft: "iptables-nft-save",
    legacy: "iptables-legacy-save",
    either: "iptables-save",
    tables: "/proc/self/net/ip_tables_names",
  },
  6: {
    nft: "ip6tables-nft-save",
    legacy: "ip6tables-legacy-save",
    either: "ip6tables-save",
    tables: "/proc/self/net/ip6_tables_names",
  },
};

/**
 * What of the host's firewall is not the engine's, and what the engine's does. Where it can't be known, there is an obstacle,
 * and nothing is taken for translated.
 * @param uplinks names of the devices that lead outside
 */
export async function lookAtFirewall(
  engine: EngineTraces,
  uplinks: ReadonlySet<string>,
): Promise<FirewallState> {
  const bridgedToo: PerFamily<boolean> = {
    4: readSysctl("net.bridge.bridge-nf-call-iptables") === "1",
    6: readSysctl("net.bridge.bridge-nf-call-ip6tables") === "1",
  };
  const ruleset = await orError(nftRuleset());
  const foreign: Unread[] = [];
  const engineNat = { 4: false, 6: false };
  const dials: Record<Family, HostDials> = { 4: { ...NO_DIALS }, 6: { ...NO_DIALS } };
  // Where it can't be told they are asked.
  const iptables = { 4: true, 6: true };
  if (ruleset instanceof Error) {
    // Without the tool nobody has written tables of the bridge family by it.
    const bridged = bridgedToo[4] || bridgedToo[6] || errorCode(ruleset) !== "ENOENT";
    foreign.push(unreadable(ruleset, FAMILIES, bridged));
  } else {
    try {
      const parsed = parseRuleset(ruleset);
      foreign.push(...foreignChains(parsed, bridgedToo));
      for (const family of FAMILIES) {
        engineNat[family] ||= engineNatByRuleset(parsed, family);
        addDials(
          dials,
          family,
          engineDialsByRuleset(parsed, family),
          foreignDialChain(parsed, family, engine),
        );
        iptables[family] = ruleset === EMPTY_RULESET || hasIptables(parsed, family);
      }
    } catch (error) {
      foreign.push(unreadable(error, FAMILIES, true));
    }
  }
  const asked = FAMILIES.flatMap((family) =>
    saversFor(family, iptables[family]).map((savers) => ({ family, savers })),
  );
  const answers = await Promise.all(
    asked.map(async ({ family, savers }) => ({ family, saved: await orError(firstOf(savers)) })),
  );
  for (const { family, saved } of answers) {
    if (saved instanceof Error) {
      // A host that has neither of the tools, nor what they would need.
      if (ruleset === EMPTY_RULESET && errorCode(saved) === "ENOENT") continue;
      foreign.push(unreadable(saved, [family], bridgedToo[family]));
      continue;
    }
    const parsed = parseSaved(saved);
    foreign.push(...foreignRules(parsed, family, engine, uplinks, bridgedToo[family]));
    engineNat[family] ||= engineNatBySaved(parsed);
    addDials(dials, family, engineDialsBySaved(parsed, family), foreignDialRule(parsed, engine));
  }
  for (const { text, families } of foreign.filter((rule) => rule.unread))
    for (const family of families) dials[family].obstacle ??= text.slice(0, TEXT_MAX);
  return {
    routingObstacle: perFamily((family) =>
      foreign.find((rule) => rule.routed && rule.families.includes(family))?.text.slice(0, TEXT_MAX),
    ),
    bridgingObstacle: foreign.find((rule) => rule.bridged)?.text.slice(0, TEXT_MAX),
    engineNat,
    dials,
    foreignRules: createHash("sha256").update(JSON.stringify(foreign)).digest("hex"),
  };
}

/** Whether the kernel's old tables are in use in this network namespace: nobody tells of changes in them. */
export function usesLegacyTables(family?: Family): boolean {
  if (family === undefined) return FAMILIES.some((one) => usesLegacyTables(one));
  try {
    return readFileSync(TOOLS[family].tables, "utf8").trim() !== "";
  } catch {
    return false;
  }
}

type Unread = ForeignRule & { unread?: true };

function unreadable(error: unknown, families: readonly Family[], bridged: boolean): Unread {
  const text = `the rules can't be read: ${errorMessage(error)}`;
  return { text, families, routed: true, bridged, unread: true };
}

const NO_DIALS: HostDials = { obstacle: undefined, translated: "none", masqueraded: new Map() };

/** Adds what one of the tools tells. */
function addDials(
  dials: Record<Family, HostDials>,
  family: Family,
  { translated, masqueraded }: EngineDials,
  obstacle: string | undefined,
): void {
  const before = dials[family];
  dials[family] = {
    obstacle: before.obstacle ?? obstacle?.slice(0, TEXT_MAX),
    translated: translated === "none" ? before.translated : translated,
    masqueraded: new Map([...before.masqueraded, ...masqueraded]),
  };
}

const EMPTY_RULESET = '{"nftables": []}';

async function nftRuleset(): Promise<string> {
  try {
    return await output("nft", ["--json", "--stateless", "--terse", "list", "ruleset"]);
  } catch (error) {
    // Without the subsystem there are no tables.
    if (errorCode(error) === "ENOENT" && !existsSync("/sys/module/nf_tables")) return EMPTY_RULESET;
    throw error;
  }
}

/** Both of iptables' homes, where they are in use: nftables, and the kernel's old tables. Each by either of two names. */
function saversFor(family: Family, inNftables: boolean): string[][] {
  const tools = TOOLS[family];
  return [
    ...(inNftables ? [[tools.nft, tools.either]] : []),
    ...(usesLegacyTables(family) ? [[tools.legacy, tools.either]] : []),
  ];
}

async function firstOf(commands: string[]): Promise<string> {
  let missing: unknown;
  for (const command of commands) {
    try {
      return await output(command, []);
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
      missing = error;
    }
  }
  throw missing;
}

function orError(result: Promise<string>): Promise<string | Error> {
  return result.catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))));
}

function output(command: string, args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { timeout: TIMEOUT_MS, maxBuffer: OUTPUT_MAX, env: { ...process.env, LC_ALL: "C" } };
    execFile(command, args, options, (error, stdout) => {
      if (error === null) resolve(stdout);
      else reject(error);
    });
  });
}
