import type { DaemonObserver, MetricsSource } from "../controller/daemon.js";
import type { Exposition } from "./exposition.js";
import type { Metric } from "./metric.js";

/** One subject of /metrics: what there is to know of it, and how it is read. One a file, in collectors/. */
export interface CollectorKind {
  /** The value of the label `collector` of fairway_collector_success: "endpoints", "maps", ... */
  readonly name: string;
  /** All that it may add. */
  readonly metrics: readonly Metric[];
  /** @returns undefined where the configuration has it off */
  create(context: CollectorContext): Collector | undefined;
}

/** A collector at work. */
export interface Collector {
  /**
   * Adds the samples of now; called at every scrape. Each step (a `yield`) is short, a millisecond or two; between two of
   * them anything may happen. What it throws makes this collector unsuccessful, without any sample, never the scrape.
   */
  collect(out: Exposition): Iterable<unknown> | undefined;
  /** Told of what happens between the scrapes. */
  readonly observer?: DaemonObserver;
}

export interface CollectorContext {
  source: MetricsSource;
  version: string;
  /** os.release() */
  kernel: string;
  /** Names of container labels that become labels of fairway_container_info. */
  labels?: readonly string[];
  /** Whether the container_network_* of cAdvisor are there too. */
  cadvisor?: boolean;
}
