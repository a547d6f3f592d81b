import type { Logger } from "pino";
import type { DatapathReader } from "../datapath/reader.js";
import type { EngineState } from "../docker/model.js";
import type { PolicyOptions } from "../plan/policy_types.js";
import type { HostSocketsMode, LeftToEngine, Mode, PlanWarning, TrustFirewallMode } from "../plan/types.js";

/** What the daemon needs to know; the command line's configuration carries more and is assignable to it. */
export interface DaemonConfig extends PolicyOptions {
  mode: Mode;
  /** As DOCKER_HOST; undefined: $DOCKER_HOST, else unix:///var/run/docker.sock. */
  dockerHost?: string | undefined;
  /** Names of the uplinks; empty: chosen by what the host has. */
  uplinks: string[];
  /** Directory of our pins, on a bpffs (mounted when it isn't). */
  bpffs: string;
  /** Directory of the socket and of state.json. */
  stateDir: string;
  /** Default "auto". */
  hostSockets?: HostSocketsMode;
  /** Default "auto". */
  trustFirewall?: TrustFirewallMode;
  /** Size of each family's flow table in entries (two per connection). */
  flowsMax: number;
}

export interface DaemonDeps {
  log: Logger;
  observer?: DaemonObserver;
  /** DOCKER_HOST, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH are read from here; default process.env. */
  env?: Readonly<Record<string, string | undefined>>;
}

/** Told of what happens, so that metrics can count it. Callbacks must not throw and must be quick. */
export interface DaemonObserver {
  /** A pass from listing the engine to the maps written is over. */
  reconciled?(result: ReconcileResult): void;
  /** The event stream came up or was lost. */
  engineConnected?(connected: boolean): void;
  /** One event of the engine, e.g. ("container", "start"). */
  engineEvent?(type: string, action: string): void;
}

export interface ReconcileResult {
  ok: boolean;
  /** Of the whole pass, and of its parts. */
  durationMs: number;
  engineMs: number;
  hostMs: number;
  applyMs: number;
  /** What set it off: "start", "events", "netlink", "resync", "reconnect". */
  trigger: string;
  /** Map entries and links written and removed. */
  added: number;
  removed: number;
  /** One line, when it failed. */
  error?: string;
}

export interface EngineStatus {
  connected: boolean;
  /** "unix:///var/run/docker.sock" */
  address: string;
  version: string | undefined;
  apiVersion: string | undefined;
  /** Times the event stream was lost. */
  disconnects: number;
  /** One line: why it is not connected. */
  error: string | undefined;
}

export interface DaemonStatus {
  /** "starting" until the first reconcile has succeeded. */
  state: "starting" | "ready" | "stopping";
  pid: number;
  /** ms of the epoch */
  startedAt: number;
  mode: Mode;
  /** "tcx", or "clsact" on kernels before 6.6. */
  attach: "tcx" | "clsact";
  bpffs: string;
  /** Whether the last start found a pinned datapath and went on with it. */
  adopted: boolean;
  engine: EngineStatus;
  uplinks: { name: string; ifindex: number; mtu: number; addresses: string[] }[];
  /** At the host's socket calls: attached, or not (switched off, not possible, or no port to lead to yet). */
  hostSockets: "attached" | "not attached";
  /** "ignore": rules of the user's don't count on the fast path. */
  trustFirewall: TrustFirewallMode;
  counts: { endpoints: number; ports: number; hostPorts: number; flows: number; flowsMax: number };
  reconcile: {
    count: number;
    failures: number;
    /** ms of the epoch; 0: never */
    lastSuccessAt: number;
    last: ReconcileResult | undefined;
  };
  /** Containers and networks that a label keeps off the fast path. */
  leftToEngine: LeftToEngine[];
  warnings: PlanWarning[];
}

/** What src/metrics builds on. */
export interface MetricsSource {
  status(): DaemonStatus;
  /** Undefined until the programs are loaded. */
  readonly reader: DatapathReader | undefined;
  /** The engine as of the last look; undefined until the first. */
  readonly engineState: EngineState | undefined;
}
