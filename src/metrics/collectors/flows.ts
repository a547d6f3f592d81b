import { Counter, type Registry } from "prom-client";
import type { Collector, CollectorContext } from "../collector.js";
import { SingleGauge } from "../gauges.js";

/** The flow tables: two entries per connection, one per direction. */
export function flows(registry: Registry, { source }: CollectorContext): Collector {
  const entries = new SingleGauge(
    registry,
    "fairway_flows",
    "Entries of the flow tables, one per direction of a connection, as the last sweep counted them",
  );
  const max = new SingleGauge(
    registry,
    "fairway_flows_max",
    "Entries that the flow tables can hold, half of them for each IP version",
  );
  const registers = [registry];
  const inserted = new Counter({
    name: "fairway_flow_table_inserted_total",
    help: "Entries that were put into the flow tables, as of the last sweep",
    registers,
  });
  const evicted = new Counter({
    name: "fairway_flow_table_evicted_total",
    help: "Entries that a full flow table forgot to make room, as of the last sweep",
    registers,
  });

  return {
    name: "flows",
    update() {
      const reading = source.reader?.flows();
      if (reading === undefined) return;
      max.set(reading.maxEntries);
      if (reading.countedAt === 0) return;
      entries.set(reading.entries);
      inserted.inc(reading.inserted);
      evicted.inc(reading.evicted);
    },
    reset() {
      entries.clear();
      max.clear();
      inserted.reset();
      evicted.reset();
    },
  };
}
