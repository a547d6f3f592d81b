import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { errorCode, errorMessage } from "../errors.js";
import {
  type EngineTraces,
  type ForeignRule,
  foreignChains,
  foreignRules,
  hasIptables,
} from "./firewall_rules.js";
import type { FirewallState } from "./state.js";
import { readSysctl } from "./sysctl.js";

const TIMEOUT_MS = 10_000;
const OUTPUT_MAX = 64 * 1024 * 1024;
const TEXT_MAX = 200;

/**
 * What of the host's firewall is not the engine's. Where it can't be known, there is an obstacle.
 * @param uplinks names of the devices that lead outside
 */
export async function lookAtFirewall(
  engine: EngineTraces,
  uplinks: ReadonlySet<string>,
): Promise<FirewallState> {
  const bridgedToo = readSysctl("net.bridge.bridge-nf-call-iptables") === "1";
  const ruleset = await orError(nftRuleset());
  const foreign: ForeignRule[] = [];
  if (ruleset instanceof Error) {
    // Without the tool nobody has written tables of the bridge family by it.
    foreign.push(unreadable(ruleset, bridgedToo || errorCode(ruleset) !== "ENOENT"));
  } else {
    try {
      foreign.push(...foreignChains(ruleset, bridgedToo));
    } catch (error) {
      foreign.push(unreadable(error, true));
    }
  }
  for (const savers of saversFor(ruleset)) {
    const saved = await orError(firstOf(savers));
    if (saved instanceof Error) {
      // A host that has neither of the tools, nor what they would need.
      if (ruleset === EMPTY_RULESET && errorCode(saved) === "ENOENT") continue;
      foreign.push(unreadable(saved, bridgedToo));
    } else foreign.push(...foreignRules(saved, engine, uplinks, bridgedToo));
  }
  return {
    routingObstacle: foreign.find((rule) => rule.routed)?.text.slice(0, TEXT_MAX),
    bridgingObstacle: foreign.find((rule) => rule.bridged)?.text.slice(0, TEXT_MAX),
    foreignRules: createHash("sha256").update(JSON.stringify(foreign)).digest("hex"),
  };
}

/** Whether the kernel's old tables are in use in this network namespace: nobody tells of changes in them. */
export function usesLegacyTables(): boolean {
  try {
    return readFileSync("/proc/self/net/ip_tables_names", "utf8").trim() !== "";
  } catch {
    return false;
  }
}

function unreadable(error: unknown, bridged: boolean): ForeignRule {
  return { text: `the rules can't be read: ${errorMessage(error)}`, routed: true, bridged };
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
function saversFor(ruleset: string | Error): string[][] {
  let nft = true;
  try {
    nft = ruleset instanceof Error || ruleset === EMPTY_RULESET || hasIptables(ruleset);
  } catch {
    // Said already.
  }
  return [
    ...(nft ? [["iptables-nft-save", "iptables-save"]] : []),
    ...(usesLegacyTables() ? [["iptables-legacy-save", "iptables-save"]] : []),
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
