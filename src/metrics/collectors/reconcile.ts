import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { ReconcileResult } from "../../controller/daemon.js";
import type { Collector, CollectorContext } from "../collector.js";
import { SingleGauge } from "../gauges.js";

export interface ReconcileCollector extends Collector {
  /** To be told of every pass, as DaemonObserver.reconciled. */
  observe(result: ReconcileResult): void;
}

/** The passes from listing the engine to the maps written. */
export function reconcile(registry: Registry, { source }: CollectorContext): ReconcileCollector {
  const registers = [registry];
  const duration = new Histogram({
    name: "fairway_reconcile_duration_seconds",
    help: "How long a pass took, from listing the engine to the maps written",
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  const total = new Counter({
    name: "fairway_reconciles_total",
    help: "Passes by result",
    labelNames: ["result"] as const,
    registers,
  });
  for (const result of ["success", "failure"]) total.inc({ result }, 0);
  const lastSuccess = new SingleGauge(
    registry,
    "fairway_reconcile_last_success_timestamp_seconds",
    "When a pass last succeeded",
  );
  const warnings = new Gauge({
    name: "fairway_plan_warnings",
    help: "What is not on the fast path though one could expect it, by kind (fairway status tells more)",
    labelNames: ["code"] as const,
    registers,
  });

  return {
    name: "reconcile",
    observe(result) {
      duration.observe(result.durationMs / 1000);
      total.inc({ result: result.ok ? "success" : "failure" });
    },
    update() {
      const status = source.status();
      if (status.reconcile.lastSuccessAt > 0) lastSuccess.set(status.reconcile.lastSuccessAt / 1000);
      for (const { code } of status.warnings) warnings.inc({ code });
    },
    reset() {
      lastSuccess.clear();
      warnings.reset();
    },
  };
}
