import { z } from "zod";
import type { Network } from "../networks.js";
import { formatNetwork, parseNetwork } from "../networks.js";
import { XDP_MODES, type XdpMode } from "../plan/policy_types.js";
import {
  HOST_SOCKETS_MODES,
  type HostSocketsMode,
  MODES,
  type Mode,
  TRUST_FIREWALL_MODES,
  type TrustFirewallMode,
} from "../plan/types.js";
import { FLOWS_MAX_LARGEST, FLOWS_MAX_SMALLEST, flowsMaxFor, usableMemory } from "./flows-max.js";
import { suggestion } from "./nearest.js";

/** Where /metrics listens; port 0: any free one. */
export interface MetricsAddress {
  host: string;
  port: number;
}

export const LOG_FORMATS = ["text", "json"] as const;
export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error"] as const;

/** One of a list of words, with the nearest one named when it is none of them. */
function word<const T extends readonly string[]>(words: T) {
  return z.string("must be a text").transform((text, context): T[number] => {
    const known = words.find((one) => one === text);
    if (known !== undefined) return known;
    const message = `"${text}" is none of ${words.join(", ")}${suggestion(text, words)}`;
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  });
}

const text = z.string("must be a text").trim().min(1, "must not be empty");

const directory = text.refine((path) => path.startsWith("/"), "must be an absolute path");

/** A YAML boolean, or its word from the environment. */
const flag = z.union(
  [
    z.boolean(),
    z.literal(["true", "1", "yes"]).transform(() => true),
    z.literal(["false", "0", "no"]).transform(() => false),
  ],
  "must be true or false",
);

/** Kernel's dev_valid_name(): 1 to 15 bytes without slash, colon or white space, not "." or "..". */
const deviceName = z
  .string("must be the name of a network device")
  .trim()
  .refine(
    (name) => Buffer.byteLength(name) <= 15 && /^[^/:\s]+$/.test(name) && name !== "." && name !== "..",
    { error: (issue) => `"${String(issue.input)}" can't be the name of a network device` },
  );

/** A list in YAML, one name, or names with commas between them in the environment; order kept, each once. */
const uplinks = z
  .union(
    [z.array(z.unknown()), z.string().transform((names) => names.split(",").filter((name) => name !== ""))],
    {
      error: "must be a list of network devices",
    },
  )
  .pipe(z.array(deviceName))
  .transform((names) => [...new Set(names)]);

/** As uplinks: a list in YAML, or networks with commas between them. */
const networks = z
  .union(
    [
      z.array(z.unknown()),
      z.string().transform((text) => text.split(",").filter((entry) => entry.trim() !== "")),
    ],
    { error: "must be a list of networks" },
  )
  .pipe(z.array(z.string("must be a list of networks, each a text")))
  .transform((entries, context): Network[] => {
    const found = new Map<string, Network>();
    for (const entry of entries) {
      const network = parseNetwork(entry);
      if ("problem" in network) {
        context.addIssue({ code: "custom", message: network.problem });
        return z.NEVER;
      }
      found.set(formatNetwork(network), network);
    }
    return [...found.values()];
  });

/** Names of container labels, as Docker takes them; each becomes a label of a metric, so there may not be many. */
const labelNames = z
  .union(
    [z.array(z.unknown()), z.string().transform((names) => names.split(",").filter((name) => name !== ""))],
    { error: "must be a list of container labels" },
  )
  .pipe(
    z
      .array(
        z
          .string("must be a list of container labels, each a text")
          .trim()
          .refine((name) => /^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/.test(name), {
            error: (issue) => `${JSON.stringify(issue.input)} can't be the name of a container label`,
          }),
      )
      .max(20, "must be at most 20 labels"),
  )
  .transform((names, context) => {
    const known = new Map<string, string>();
    for (const name of names) {
      const label = name.replace(/[^A-Za-z0-9]/g, "_");
      const other = known.get(label);
      if (other !== undefined && other !== name) {
        context.addIssue({
          code: "custom",
          message: `"${other}" and "${name}" would be one label of a metric`,
        });
        return z.NEVER;
      }
      known.set(label, name);
    }
    return [...known.values()];
  });

const dockerHost = text.refine((url) => /^(unix|tcp|http|https):\/\/./.test(url), {
  error: (issue) => `"${String(issue.input)}" is not unix:///PATH or tcp://HOST:PORT`,
});

const metrics = z
  .union([z.literal(["off", false]).transform(() => undefined), z.string()], "must be ADDRESS:PORT or off")
  .transform((address, context): MetricsAddress | undefined => {
    if (address === undefined) return undefined;
    const parsed = parseMetricsAddress(address);
    if (parsed !== undefined) return parsed;
    context.addIssue({
      code: "custom",
      message: `"${address}" is not ADDRESS:PORT (for example 127.0.0.1:9477) or off`,
    });
    return z.NEVER;
  });

/**
 * "127.0.0.1:9477", "[::1]:9477", ":9477" (every address).
 * @returns undefined for anything else
 */
export function parseMetricsAddress(text: string): MetricsAddress | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]*)):(\d{1,5})$/.exec(text.trim());
  if (match === null) return undefined;
  const port = Number(match[3]);
  if (port > 65535) return undefined;
  const host = match[1] ?? match[2] ?? "";
  return { host: host === "" ? "::" : host, port };
}

/** The reverse of {@link parseMetricsAddress}. */
export function formatMetricsAddress(address: MetricsAddress): string {
  return `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
}

const flowsMax = z.unknown().transform((raw, context): number => {
  if (raw === "auto" || raw === 0 || raw === "0") return flowsMaxFor(usableMemory());
  const size = typeof raw === "string" && /^\d+$/.test(raw) ? Number(raw) : raw;
  const inRange =
    Number.isInteger(size) && Number(size) >= FLOWS_MAX_SMALLEST && Number(size) <= FLOWS_MAX_LARGEST;
  if (inRange) return Number(size);
  const message = `must be auto or a number of ${FLOWS_MAX_SMALLEST} to ${FLOWS_MAX_LARGEST}`;
  context.addIssue({ code: "custom", message });
  return z.NEVER;
});

/**
 * Every key of the configuration file. The environment's name of `docker-host` is FAIRWAY_DOCKER_HOST, its flag
 * --docker-host (`uplinks`: --uplink, once per device).
 */
export const shape = {
  mode: word(MODES),
  "docker-host": dockerHost,
  uplinks,
  metrics,
  "metrics-labels": labelNames,
  "metrics-cadvisor": flag,
  bpffs: directory,
  "state-dir": directory,
  "flows-max": flowsMax,
  allow: networks,
  deny: networks,
  xdp: word(XDP_MODES),
  "host-sockets": word(HOST_SOCKETS_MODES),
  "trust-firewall": word(TRUST_FIREWALL_MODES),
  "log-format": word(LOG_FORMATS),
  "log-level": word(LOG_LEVELS),
  once: flag,
} as const;

export type Key = keyof typeof shape;

export const keys = Object.keys(shape) as Key[];

/** What a key is when nothing says otherwise; in the words of the file, so that the same schema reads them. */
export const defaults: Readonly<Partial<Record<Key, unknown>>> = {
  mode: "accelerate",
  uplinks: [],
  metrics: "127.0.0.1:9477",
  "metrics-labels": [],
  "metrics-cadvisor": false,
  bpffs: "/sys/fs/bpf/fairway",
  "state-dir": "/run/fairway",
  "flows-max": "auto",
  allow: [],
  deny: [],
  xdp: "auto",
  "host-sockets": "auto",
  "trust-firewall": "auto",
  "log-format": "text",
  "log-level": "info",
  once: false,
};

/** The whole configuration, checked. Assignable to the controller's DaemonConfig. */
export interface Config {
  mode: Mode;
  /** Undefined: $DOCKER_HOST, else Docker's own default. */
  dockerHost: string | undefined;
  /** Empty: chosen by what the host has. */
  uplinks: string[];
  /** Undefined: no server. */
  metrics: MetricsAddress | undefined;
  /** Container labels that fairway_container_info has. */
  metricsLabels: string[];
  /** Whether there are cAdvisor's container_network_* too. */
  metricsCadvisor: boolean;
  bpffs: string;
  stateDir: string;
  /** Entries of the flow table. */
  flowsMax: number;
  /** Sources that reach the host though a wider network of theirs is denied. */
  allow: Network[];
  /** Sources that don't. */
  deny: Network[];
  xdp: XdpMode;
  hostSockets: HostSocketsMode;
  trustFirewall: TrustFirewallMode;
  logFormat: (typeof LOG_FORMATS)[number];
  logLevel: (typeof LOG_LEVELS)[number];
  once: boolean;
}

/**
 * Checks one value of one key.
 * @returns the value, or one line that says what is wrong with it
 */
export function checkValue(key: Key, raw: unknown): { value: unknown } | { problem: string } {
  const result = shape[key].safeParse(raw);
  if (result.success) return { value: result.data };
  return { problem: result.error.issues[0]?.message ?? "is wrong" };
}
