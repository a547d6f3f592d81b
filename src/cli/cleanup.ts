import type { Config } from "../config/schema.js";
import { type CleanupReport, cleanup } from "../datapath/cleanup.js";
import { createLog } from "../log/log.js";
import { removeListened } from "../parents/announced.js";
import { removeHostRoutes } from "../parents/host_routes.js";
import { removeUntracked } from "../parents/untracked.js";
import { removeSlowPath } from "../slowpath/table.js";
import type { Context } from "./context.js";
import { type OutputFormat, print } from "./output.js";
import { requireBuilt, requireRoot, thisHost } from "./preflight.js";
import { table } from "./table.js";

/** `fairway cleanup`. */
export async function runCleanup(config: Config, format: OutputFormat, context: Context): Promise<void> {
  const host = thisHost();
  requireRoot(host, "cleanup");
  requireBuilt(host);
  const log = createLog({ format: config.logFormat, level: config.logLevel });
  const report = await cleanup({
    bpffs: config.bpffs,
    stateDir: config.stateDir,
    log,
    removeTables: async () => [...(await removeSlowPath()), ...(await removeUntracked())],
    removeRoutes: async () => [...(await removeHostRoutes()), ...(await removeListened())],
  });
  print(context, format, report, () => describe(report, context));
  if (isEmpty(report)) context.say(`nothing of fairway at ${config.bpffs}`);
}

function isEmpty(report: CleanupReport): boolean {
  return Object.values(report).every((found) => (Array.isArray(found) ? found.length === 0 : found === 0));
}

function describe(report: CleanupReport, { color }: Context): string {
  if (isEmpty(report)) return "";
  const row = (what: string, names: readonly string[]) => [what, names.length, names.join(" ")];
  return table(
    ["REMOVED", "COUNT", ""],
    [
      row("links", report.links),
      row("programs", report.programs),
      row("maps", report.maps),
      row("tables of nftables", report.tables),
      row("routes", report.routes),
      row("sysctls put back", report.sysctls),
      row("files", report.files),
      ["flows handed to the kernel", report.flowsHandedOver, ""],
    ],
    color,
  );
}
