import type { Command } from "commander";
import type { LoadedConfig } from "../../config/load.js";
import { type Config, formatMetricsAddress, type Key, keys } from "../../config/schema.js";
import { UserError } from "../../errors.js";
import { formatNetwork } from "../../networks.js";
import type { Context } from "../context.js";
import { addConfigOptions, configOf } from "../options.js";
import { addOutputOption, type OutputFormat, print } from "../output.js";
import { type Cell, table } from "../table.js";

export function addConfig(program: Command, context: Context): void {
  const config = program.command("config").description("Check the configuration.");
  const check = config
    .command("check")
    .description(
      "Check the configuration file, the environment and the flags, and print what is in force and why.",
    )
    .argument("[file]", "configuration file, as --config")
    .addHelpText("after", "\nExample:\n  fairway config check /etc/fairway/fairway.yaml\n");
  addConfigOptions(check, [...keys]);
  addOutputOption(check).action(
    (file: string | undefined, options: { output: OutputFormat; config?: string }) => {
      if (file !== undefined && options.config !== undefined) {
        throw new UserError("config check takes one file: as its argument or with --config", { exitCode: 2 });
      }
      if (file !== undefined) check.setOptionValue("config", file);
      report(configOf(check, context), options.output, context);
    },
  );
}

function report(loaded: LoadedConfig, format: OutputFormat, context: Context): void {
  const values = plainValues(loaded.config);
  const data = { file: loaded.file ?? null, values, sources: loaded.sources };
  print(context, format, data, () =>
    table(
      ["KEY", "VALUE", "FROM"],
      keys.map((key) => [key, shown(values[key]), loaded.sources[key]]),
      context.color,
    ),
  );
}

/** In the words of the file, so that what is printed could be written there. */
function plainValues(config: Config): Record<Key, unknown> {
  return {
    mode: config.mode,
    "docker-host": config.dockerHost ?? null,
    uplinks: config.uplinks,
    metrics: config.metrics === undefined ? "off" : formatMetricsAddress(config.metrics),
    "metrics-labels": config.metricsLabels,
    "metrics-cadvisor": config.metricsCadvisor,
    bpffs: config.bpffs,
    "state-dir": config.stateDir,
    "flows-max": config.flowsMax,
    allow: config.allow.map(formatNetwork),
    deny: config.deny.map(formatNetwork),
    xdp: config.xdp,
    "host-sockets": config.hostSockets,
    "trust-firewall": config.trustFirewall,
    "log-format": config.logFormat,
    "log-level": config.logLevel,
    once: config.once,
  };
}

function shown(value: unknown): Cell {
  if (value === null) return undefined;
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.join(",");
  return String(value);
}
