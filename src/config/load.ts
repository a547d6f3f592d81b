import { existsSync } from "node:fs";
import { UserError } from "../errors.js";
import { formatNetwork } from "../networks.js";
import { type Environment, readEnvironment } from "./environment.js";
import { DEFAULT_FILE, type RawSetting, readFile } from "./file.js";
import { type Config, checkValue, defaults, type Key, keys } from "./schema.js";

export interface LoadOptions {
  /** --config; undefined: FAIRWAY_CONFIG, else /etc/fairway/fairway.yaml where it exists. */
  file?: string | undefined;
  environment: Environment;
  /** What was given on the command line, with the flag's name as the source. */
  flags: RawSetting[];
  defaultFile?: string;
}

export interface LoadedConfig {
  config: Config;
  /** The file that was read. */
  file: string | undefined;
  /** Where each key's value comes from: "default", the file and its line, the variable or the flag. */
  sources: Record<Key, string>;
}

/**
 * The configuration: defaults < file < environment < flags. Every value is checked, also one that a later source
 * overrides, so that a slip is found when it is written and not when it starts to matter.
 * @throws UserError in one line that names where the wrong value stands (exit code 2)
 */
export function loadConfig(options: LoadOptions): LoadedConfig {
  const file =
    options.file ?? options.environment.FAIRWAY_CONFIG ?? existing(options.defaultFile ?? DEFAULT_FILE);
  const written = [
    ...(file === undefined ? [] : readFile(file)),
    ...readEnvironment(options.environment),
    ...options.flags,
  ];

  const values = new Map<Key, unknown>();
  const sources = {} as Record<Key, string>;
  for (const key of keys) {
    values.set(
      key,
      defaults[key] === undefined ? undefined : checked({ key, raw: defaults[key], source: "default" }),
    );
    sources[key] = "default";
  }
  for (const setting of written) {
    values.set(setting.key, checked(setting));
    sources[setting.key] = setting.source.replace(/: [a-z-]+$/, "");
  }
  const config = toConfig(values);
  refuseContradiction(config, sources);
  return { config, file, sources };
}

function refuseContradiction({ allow, deny }: Config, sources: Record<Key, string>): void {
  const allowed = new Set(allow.map(formatNetwork));
  const twice = deny.find((network) => allowed.has(formatNetwork(network)));
  if (twice === undefined) return;
  throw new UserError(
    `${formatNetwork(twice)} is both allowed (${sources.allow}) and denied (${sources.deny}): it can be only one`,
    { exitCode: 2 },
  );
}

function existing(path: string): string | undefined {
  return existsSync(path) ? path : undefined;
}

function checked(setting: RawSetting): unknown {
  const result = checkValue(setting.key, setting.raw);
  if ("value" in result) return result.value;
  throw new UserError(`${setting.source}: ${result.problem}`, { exitCode: 2 });
}

function toConfig(values: ReadonlyMap<Key, unknown>): Config {
  const value = <T>(key: Key): T => values.get(key) as T;
  return {
    mode: value("mode"),
    dockerHost: value("docker-host"),
    uplinks: value("uplinks"),
    metrics: value("metrics"),
    metricsLabels: value("metrics-labels"),
    metricsCadvisor: value("metrics-cadvisor"),
    bpffs: value("bpffs"),
    stateDir: value("state-dir"),
    flowsMax: value("flows-max"),
    allow: value("allow"),
    deny: value("deny"),
    xdp: value("xdp"),
    hostSockets: value("host-sockets"),
    trustFirewall: value("trust-firewall"),
    logFormat: value("log-format"),
    logLevel: value("log-level"),
    once: value("once"),
  };
}
