import type { CollectorKind } from "../collector.js";
import { counter, gauge } from "../metric.js";

const entries = gauge({
  name: "fairway_flows",
  unit: "entries",
  help: "Entries of the flow tables, one per direction of a connection, as the last sweep counted them",
});
const max = gauge({
  name: "fairway_flows_max",
  unit: "entries",
  help: "Entries that the flow tables can hold, half of them for each IP version",
});
const inserted = counter({
  name: "fairway_flow_table_inserted_total",
  unit: "entries",
  help: "Entries that were put into the flow tables, as of the last sweep",
});
const evicted = counter({
  name: "fairway_flow_table_evicted_total",
  unit: "entries",
  help: "Entries that a full flow table forgot to make room, as of the last sweep",
});
const swept = gauge({
  name: "fairway_flow_table_last_sweep_timestamp_seconds",
  unit: "seconds",
  help: "When the flow tables were last swept and counted",
});

/** The flow tables: two entries per connection, one per direction. */
export const flows: CollectorKind = {
  name: "flows",
  metrics: [entries, max, inserted, evicted, swept],
  create: ({ source }) => ({
    collect(out) {
      const reading = source.reader?.flows();
      if (reading === undefined) return undefined;
      out.add(max, [], reading.maxEntries);
      if (reading.countedAt === 0) return undefined;
      out.add(entries, [], reading.entries);
      out.add(inserted, [], reading.inserted);
      out.add(evicted, [], reading.evicted);
      out.add(swept, [], reading.countedAt / 1000);
      return undefined;
    },
  }),
};
