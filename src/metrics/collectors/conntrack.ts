import { readConntrackTable } from "../../host/sysctl.js";
import type { CollectorKind } from "../collector.js";
import { gauge } from "../metric.js";

const entries = gauge({
  name: "fairway_conntrack_entries",
  unit: "connections",
  help: "Connections in the kernel's connection tracking table, fairway's and all others",
});
const max = gauge({
  name: "fairway_conntrack_max",
  unit: "connections",
  help: "Connections that the kernel's connection tracking table can hold",
});

/** The kernel's own table of connections, of the host's network namespace. */
export const conntrack: CollectorKind = {
  name: "conntrack",
  metrics: [entries, max],
  create: () => ({
    collect(out) {
      const table = readConntrackTable();
      if (table === undefined) return undefined;
      out.add(entries, [], table.entries);
      out.add(max, [], table.max);
      return undefined;
    },
  }),
};
