import type { Config } from "../../config/schema.js";
import { UserError } from "../../errors.js";
import type { Context } from "../context.js";
import { type OutputFormat, print } from "../output.js";
import { requireBuilt, requireRoot, thisHost } from "../preflight.js";
import { table } from "../table.js";
import type { Facts, Finding } from "./facts.js";
import { judgeEngine } from "./judge_engine.js";
import { judgeHost } from "./judge_host.js";
import { judgeParents } from "./judge_parents.js";
import { look } from "./look.js";

/** Everything that there is to say about a host. Pure. */
export function judge(facts: Facts): Finding[] {
  return [...judgeEngine(facts), ...judgeHost(facts), ...judgeParents(facts)];
}

/**
 * Looks, judges, and prints what was found; nothing is changed.
 * @throws UserError where something is a failure, after everything is printed
 */
export async function runDoctor(config: Config, output: OutputFormat, context: Context): Promise<void> {
  const host = thisHost();
  requireRoot(host, "doctor");
  requireBuilt(host);
  const findings = judge(await look(config, context.environment));
  print(context, output, { mode: config.mode, findings }, () => findingsText(findings, context.color));
  const failures = findings.filter(({ result }) => result === "failure").length;
  if (failures > 0) throw new UserError(`${failures} of ${findings.length} checks failed`);
}

/** The table, and below it what to do about each finding that is not ok. */
function findingsText(findings: readonly Finding[], color: boolean): string {
  const rows = findings.map(({ result, check, what }) => [result, check, what]);
  const advice = findings
    .filter(({ result }) => result !== "ok")
    .map(({ check, why, remedy }) => `\n${check}: ${why}\n${(remedy ?? "").replace(/^/gm, "  ")}\n`);
  return table(["RESULT", "CHECK", "FOUND"], rows, color) + advice.join("");
}
