import type { Registry } from "prom-client";
import type { MetricsSource } from "../controller/daemon.js";

/** One subject of /metrics. A collector a file, in collectors/. */
export interface Collector {
  /** The value of the label `collector` of fairway_collector_success: "endpoints", "maps", ... */
  readonly name: string;
  /**
   * Brings this collector's metrics up to date; called at every scrape, synchronously. What it throws makes this
   * collector unsuccessful, never the scrape; its metrics are without series then (see {@link Collector.reset}).
   */
  update(): void;
  /** Removes the series, so that neither a removed container nor a failed reading leaves old figures behind. */
  reset(): void;
}

/** Makes a collector whose metrics are registered with `registry`. */
export type CollectorFactory = (registry: Registry, context: CollectorContext) => Collector;

export interface CollectorContext {
  source: MetricsSource;
  version: string;
  /** os.release() */
  kernel: string;
}
