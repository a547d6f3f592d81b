import type { DatapathReader } from "../datapath/reader.js";
import type { DaemonConfig, DaemonDeps, DaemonStatus, MetricsSource } from "./types.js";

export type {
  DaemonConfig,
  DaemonDeps,
  DaemonObserver,
  DaemonStatus,
  EngineStatus,
  MetricsSource,
  ReconcileResult,
} from "./types.js";

/** Keeps the datapath as the engine has it: the whole of `fairway run` but for the command line and the metrics. */
export class Daemon implements MetricsSource {
  constructor(
    readonly config: DaemonConfig,
    readonly deps: DaemonDeps,
  ) {}

  get reader(): DatapathReader | undefined {
    return undefined;
  }

  /**
   * Loads (or adopts) the datapath, connects to the engine and resolves after the first reconcile: ready.
   * @throws UserError for everything that the user can fix; then nothing is left attached that was not there before.
   */
  async start(): Promise<void> {
    throw new Error("not written yet");
  }

  /** Stops watching. The pinned datapath stays and goes on forwarding. Idempotent. */
  async stop(): Promise<void> {
    throw new Error("not written yet");
  }

  status(): DaemonStatus {
    throw new Error("not written yet");
  }
}
