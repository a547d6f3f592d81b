import { Counter, type Registry } from "prom-client";
import type { Collector, CollectorContext } from "../collector.js";

const labelNames = ["container", "network", "direction", "reason"] as const;

/**
 * Why packets were not on the fast path: dropped, or left to the kernel. Packets that belong to no known endpoint have
 * empty labels `container` and `network`.
 */
export function reasons(registry: Registry, { source }: CollectorContext): Collector {
  const dropped = new Counter({
    name: "fairway_endpoint_dropped_packets_total",
    help: "Packets dropped, by the reason why",
    labelNames,
    registers: [registry],
  });
  const slow = new Counter({
    name: "fairway_slow_path_packets_total",
    help: "Packets left to the kernel, by the reason why",
    labelNames,
    registers: [registry],
  });

  return {
    name: "reasons",
    update() {
      for (const reading of source.reader?.reasons() ?? []) {
        const labels = {
          container: reading.container ?? "",
          network: reading.network ?? "",
          direction: reading.direction,
          reason: reading.reason,
        };
        (reading.verdict === "drop" ? dropped : slow).inc(labels, Number(reading.packets));
      }
    },
    reset() {
      dropped.reset();
      slow.reset();
    },
  };
}
