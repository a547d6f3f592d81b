import type { Registry } from "prom-client";
import type { Collector, CollectorContext } from "../collector.js";
import { SingleGauge } from "../gauges.js";

/** The flow table: two entries per connection, one per direction. */
export function flows(registry: Registry, { source }: CollectorContext): Collector {
  const entries = new SingleGauge(
    registry,
    "fairway_flows",
    "Entries of the flow table, one per direction of a connection, as the last sweep counted them",
  );
  const max = new SingleGauge(registry, "fairway_flows_max", "Entries that the flow table can hold");

  return {
    name: "flows",
    update() {
      const reading = source.reader?.flows();
      if (reading === undefined) return;
      if (reading.countedAt > 0) entries.set(reading.entries);
      max.set(reading.maxEntries);
    },
    reset() {
      entries.clear();
      max.clear();
    },
  };
}
