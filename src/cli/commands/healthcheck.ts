import type { Command } from "commander";
import type { Config, MetricsAddress } from "../../config/schema.js";
import { formatMetricsAddress } from "../../config/schema.js";
import { errorCode, errorMessage, UserError } from "../../errors.js";
import type { Context } from "../context.js";
import { type Answer, get } from "../http.js";
import { addConfigOptions, configOf } from "../options.js";
import { daemonStatus } from "../running.js";

export function addHealthcheck(program: Command, context: Context): void {
  const command = program
    .command("healthcheck")
    .description("Exit 0 when the daemon is ready, 1 when it is not: for a container's health check.")
    .addHelpText("after", "\nExample:\n  HEALTHCHECK CMD fairway healthcheck\n");
  addConfigOptions(command, ["metrics", "state-dir"]).action(() =>
    run(configOf(command, context).config, context),
  );
}

/** Asks /readyz of the metrics address, or the control socket where metrics are off. */
async function run(config: Config, context: Context): Promise<void> {
  const why = config.metrics === undefined ? await bySocket(config.stateDir) : await byReadyz(config.metrics);
  if (why !== undefined) throw new UserError(why);
  context.out("ready\n");
}

async function bySocket(stateDir: string): Promise<string | undefined> {
  const status = await daemonStatus(stateDir);
  if (status === undefined) return `not ready: no daemon is running on ${stateDir}`;
  return status.state === "ready" ? undefined : `not ready: ${status.state}`;
}

async function byReadyz(address: MetricsAddress): Promise<string | undefined> {
  let answer: Answer;
  try {
    answer = await get({ host: reachable(address.host), port: address.port, path: "/readyz" }, 3_000);
  } catch (error) {
    const where = formatMetricsAddress(address);
    const why = errorCode(error) === "ECONNREFUSED" ? "nothing listens there" : errorMessage(error);
    return `not ready: no answer from ${where} (${why})`;
  }
  if (answer.status === 200) return undefined;
  const line = answer.body.split("\n", 1)[0] ?? "";
  return line.startsWith("not ready")
    ? line
    : `not ready: status ${answer.status} from ${formatMetricsAddress(address)}`;
}

/** Where to ask a server that listens on every address. */
function reachable(host: string): string {
  if (host === "::") return "localhost";
  return host === "0.0.0.0" ? "127.0.0.1" : host;
}
