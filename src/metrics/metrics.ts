import { Gauge, Registry } from "prom-client";
import type { DaemonObserver } from "../controller/daemon.js";
import type { Collector, CollectorContext } from "./collector.js";
import { buildInfo } from "./collectors/build-info.js";
import { conntrack } from "./collectors/conntrack.js";
import { endpoints } from "./collectors/endpoints.js";
import { engine } from "./collectors/engine.js";
import { firewall } from "./collectors/firewall.js";
import { flows } from "./collectors/flows.js";
import { hostSockets } from "./collectors/host-sockets.js";
import { maps } from "./collectors/maps.js";
import { processCollector } from "./collectors/process.js";
import { reasons } from "./collectors/reasons.js";
import { reconcile } from "./collectors/reconcile.js";

export interface Metrics {
  /** The text of /metrics, read anew. Never fails because of a collector. */
  scrape(): Promise<string>;
  readonly contentType: string;
  /** To be given to the daemon. */
  readonly observer: DaemonObserver;
}

export interface MetricsOptions extends CollectorContext {
  /** Told of a collector that failed; its name and what it threw. */
  onFailure?: (collector: string, error: unknown) => void;
  /** Collectors besides fairway's own. */
  extra?: readonly ((registry: Registry) => Collector)[];
}

/** fairway's metrics: all collectors over one registry. */
export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  const reconcileCollector = reconcile(registry, options);
  const engineCollector = engine(registry, options);
  const collectors: Collector[] = [
    endpoints(registry, options),
    reasons(registry, options),
    flows(registry, options),
    hostSockets(registry, options),
    firewall(registry, options),
    conntrack(registry),
    maps(registry, options),
    reconcileCollector,
    engineCollector,
    buildInfo(registry, options),
    processCollector(registry),
    ...(options.extra ?? []).map((make) => make(registry)),
  ];
  const labelNames = ["collector"] as const;
  const success = new Gauge({
    name: "fairway_collector_success",
    help: "1 when the collector could read its subject at this scrape, else 0",
    labelNames,
    registers: [registry],
  });
  const duration = new Gauge({
    name: "fairway_collector_duration_seconds",
    help: "How long the collector took at this scrape",
    labelNames,
    registers: [registry],
  });

  return {
    contentType: registry.contentType,
    observer: {
      reconciled: (result) => reconcileCollector.observe(result),
      engineEvent: (type) => engineCollector.event(type),
    },
    async scrape() {
      // All updates before the first await: two scrapes at once each see a complete set.
      for (const collector of collectors) {
        const start = performance.now();
        const ok = run(collector);
        duration.set({ collector: collector.name }, (performance.now() - start) / 1000);
        success.set({ collector: collector.name }, ok ? 1 : 0);
      }
      return registry.metrics();
    },
  };

  function run(collector: Collector): boolean {
    try {
      collector.reset();
      collector.update();
      return true;
    } catch (error) {
      collector.reset();
      options.onFailure?.(collector.name, error);
      return false;
    }
  }
}
