import type { Config } from "../config/schema.js";
import { UserError } from "../errors.js";
import type { Context } from "./context.js";
import { type OutputFormat, print } from "./output.js";
import { readPinned } from "./pinned.js";
import { requireBuilt, requireRoot, thisHost } from "./preflight.js";
import { daemonReport } from "./running.js";
import { daemonBrief, daemonText, pinnedBrief, pinnedText } from "./status-text.js";

export interface StatusOptions {
  output: OutputFormat;
  brief?: true;
}

/**
 * From the daemon; without one, from what is pinned. In JSON and YAML `running` tells which: then come the daemon's
 * report, or `pinned`.
 */
export async function runStatus(config: Config, options: StatusOptions, context: Context): Promise<void> {
  const { output, brief } = options;
  const report = await daemonReport(config.stateDir);
  if (report !== undefined) {
    print(context, output, { running: true, ...report }, () =>
      brief === true ? daemonBrief(report) : daemonText(report, context.color),
    );
    return;
  }

  const host = thisHost();
  requireRoot(host, "status");
  requireBuilt(host);
  const pinned = readPinned(config.bpffs);
  if (pinned === undefined) {
    throw new UserError(
      `fairway is not running (no daemon at ${config.stateDir}, nothing pinned at ${config.bpffs})`,
      {
        remedy: "start it with fairway run",
      },
    );
  }
  print(context, output, { running: false, pinned }, () =>
    brief === true ? pinnedBrief(pinned) : pinnedText(pinned, context.color),
  );
  context.say(
    "no daemon is running: `fairway run` goes on with the pinned datapath, `fairway cleanup` removes it",
  );
}
