import { Counter, Gauge, type Registry } from "prom-client";
import type { Collector, CollectorContext } from "../collector.js";

const labelNames = ["map"] as const;

/** How full the BPF maps are. */
export function maps(registry: Registry, { source }: CollectorContext): Collector {
  const registers = [registry];
  const entries = new Gauge({
    name: "fairway_map_entries",
    help: "Entries in use, by map",
    labelNames,
    registers,
  });
  const max = new Gauge({
    name: "fairway_map_max_entries",
    help: "Entries that the map can hold",
    labelNames,
    registers,
  });
  const failed = new Counter({
    name: "fairway_map_write_failures_total",
    help: "Writes of the control plane that failed because the map was full",
    labelNames,
    registers,
  });

  return {
    name: "maps",
    update() {
      for (const { map, entries: used, maxEntries, failedWrites } of source.reader?.maps() ?? []) {
        entries.set({ map }, used);
        max.set({ map }, maxEntries);
        failed.inc({ map }, failedWrites);
      }
    },
    reset() {
      entries.reset();
      max.reset();
      failed.reset();
    },
  };
}
