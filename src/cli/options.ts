import { type Command, Option } from "commander";
import type { RawSetting } from "../config/file.js";
import { DEFAULT_FILE } from "../config/file.js";
import { type LoadedConfig, loadConfig } from "../config/load.js";
import { defaults, type Key, LOG_FORMATS, LOG_LEVELS } from "../config/schema.js";
import type { Context } from "./context.js";

/** The flag of every key of the configuration. */
const flags: Readonly<Record<Key, { flag: string; help: string }>> = {
  mode: {
    flag: "--mode <mode>",
    help: "accelerate: the engine's own rules stay as the slow path; replace: fairway writes its own, for an engine with iptables off",
  },
  "docker-host": {
    flag: "--docker-host <url>",
    help: "the engine (default: $DOCKER_HOST, else Docker's own socket)",
  },
  uplinks: {
    flag: "--uplink <device>",
    help: "a device that leads outside; repeat it (default: chosen by the routes)",
  },
  metrics: { flag: "--metrics <address:port>", help: "where /metrics listens, or off" },
  "metrics-labels": {
    flag: "--metrics-labels <names>",
    help: "container labels that fairway_container_info has (team,com.example.tier,...)",
  },
  "metrics-cadvisor": {
    flag: "--metrics-cadvisor",
    help: "have cAdvisor's container_network_* in /metrics too",
  },
  bpffs: { flag: "--bpffs <dir>", help: "where maps, programs and links are pinned" },
  "state-dir": { flag: "--state-dir <dir>", help: "where the control socket and the state file are" },
  "flows-max": {
    flag: "--flows-max <n>",
    help: "entries of each IP version's flow table, two per connection, or auto",
  },
  allow: {
    flag: "--allow <networks>",
    help: "sources that are let in though a wider network of theirs is denied (198.18.0.0/16,...)",
  },
  deny: {
    flag: "--deny <networks>",
    help: "sources that are not let in by an uplink (0.0.0.0/0,::/0 for all)",
  },
  xdp: {
    flag: "--xdp <when>",
    help: "drop at the driver: auto (where there are lists or limits), on or off",
  },
  "host-sockets": {
    flag: "--host-sockets <when>",
    help: "lead the host's own processes straight to published ports: auto (where no rule of yours may concern them) or off",
  },
  "trust-firewall": {
    flag: "--trust-firewall <when>",
    help: "new connections that a rule of yours may concern: auto (the kernel decides them) or ignore (such rules don't count on the fast path)",
  },
  "log-format": { flag: "--log-format <format>", help: LOG_FORMATS.join(" or ") },
  "log-level": { flag: "--log-level <level>", help: LOG_LEVELS.join(", ") },
  once: { flag: "--once", help: "reconcile once and end, with the datapath in place" },
};

/** Adds --config and the flags of these keys to a command. */
export function addConfigOptions(command: Command, keys: readonly Key[]): Command {
  command.option("--config <file>", `configuration file (default: ${DEFAULT_FILE} where it exists)`);
  for (const key of keys) {
    const { flag, help } = flags[key];
    const fallback = defaults[key];
    const shown = typeof fallback === "string" ? `${help} (default: ${fallback})` : help;
    const option = new Option(flag, shown);
    if (key === "uplinks") option.argParser(collect);
    command.addOption(option);
  }
  return command;
}

function collect(device: string, before: string[] | undefined): string[] {
  return [...(before ?? []), device];
}

/**
 * The configuration of a command that has {@link addConfigOptions}' flags.
 * @throws UserError (exit code 2) in one line that names where the slip is
 */
export function configOf(command: Command, context: Context): LoadedConfig {
  const given: RawSetting[] = [];
  for (const option of command.options) {
    const long = option.long ?? "";
    const key = (Object.keys(flags) as Key[]).find((one) => flags[one].flag.split(" ", 1)[0] === long);
    const raw: unknown = command.getOptionValue(option.attributeName());
    if (key !== undefined && raw !== undefined) given.push({ key, raw, source: long });
  }
  const file: unknown = command.getOptionValue("config");
  return loadConfig({
    file: typeof file === "string" ? file : undefined,
    environment: context.environment,
    flags: given,
  });
}
