import type { CollectorKind } from "../collector.js";
import { counter, gauge } from "../metric.js";

const labels = ["map"] as const;
const entries = gauge({
  name: "fairway_map_entries",
  unit: "entries",
  help: "Entries in use, by map; of an array those that are not zero",
  labels,
});
const max = gauge({
  name: "fairway_map_max_entries",
  unit: "entries",
  help: "Entries that the map can hold",
  labels,
});
const failed = counter({
  name: "fairway_map_write_failures_total",
  unit: "writes",
  help: "Writes of the control plane that failed because the map was full",
  labels,
});

/** How full the BPF maps are. */
export const maps: CollectorKind = {
  name: "maps",
  metrics: [entries, max, failed],
  create: ({ source }) => ({
    *collect(out) {
      for (const reading of source.reader?.mapSteps() ?? []) {
        yield;
        if (reading === undefined) continue;
        out.add(entries, [reading.map], reading.entries);
        out.add(max, [reading.map], reading.maxEntries);
        out.add(failed, [reading.map], reading.failedWrites);
      }
    },
  }),
};
