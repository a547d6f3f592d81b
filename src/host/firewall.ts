import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { errorCode, errorMessage } from "../errors.js";
import { foreignRule, foreignTable } from "./bridge_rules.js";
import { readSysctl } from "./sysctl.js";

const TIMEOUT_MS = 10_000;
const OUTPUT_MAX = 64 * 1024 * 1024;

/**
 * Why packets between containers of one network have to go through the kernel, on one line: rules that are not the
 * engine's may concern them, or it can't be known. Undefined: nothing but the engine's own rules sees them.
 * @param engineBridges names of the engine's bridges
 */
export async function bridgingObstacle(engineBridges: ReadonlySet<string>): Promise<string | undefined> {
  const seesIptables = readSysctl("net.bridge.bridge-nf-call-iptables") === "1";
  try {
    const table = await foreignNftTable(!seesIptables);
    if (table !== undefined) return `nftables has a ${table}`;
    if (!seesIptables) return undefined;
    for (const command of savers()) {
      const rule = foreignRule(await output(command, []), engineBridges);
      if (rule !== undefined) return `a rule of yours may concern it (${rule.slice(0, 200)})`;
    }
    return undefined;
  } catch (error) {
    return `the firewall's rules can't be read (${errorMessage(error)})`;
  }
}

/** Both of iptables' homes: nftables, and the kernel's old tables where they are in use. */
function savers(): string[] {
  let legacy = "";
  try {
    legacy = readFileSync("/proc/net/ip_tables_names", "utf8").trim();
  } catch {
    // No old tables in this kernel.
  }
  return legacy === "" ? ["iptables-save"] : ["iptables-save", "iptables-legacy-save"];
}

async function foreignNftTable(bridgedOnly: boolean): Promise<string | undefined> {
  try {
    return foreignTable(await output("nft", ["list", "tables"]), bridgedOnly);
  } catch (error) {
    // Without the tool nobody has written tables by it; without the subsystem there are none.
    if (errorCode(error) === "ENOENT" && (bridgedOnly || !existsSync("/sys/module/nf_tables")))
      return undefined;
    throw error;
  }
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
