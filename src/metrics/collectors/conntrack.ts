import type { Registry } from "prom-client";
import { readConntrackTable } from "../../host/sysctl.js";
import type { Collector } from "../collector.js";
import { SingleGauge } from "../gauges.js";

/** The kernel's own table of connections, of the host's network namespace. */
export function conntrack(registry: Registry, read = readConntrackTable): Collector {
  const entries = new SingleGauge(
    registry,
    "fairway_conntrack_entries",
    "Connections in the kernel's connection tracking table, fairway's and all others",
  );
  const max = new SingleGauge(
    registry,
    "fairway_conntrack_max",
    "Connections that the kernel's connection tracking table can hold",
  );

  return {
    name: "conntrack",
    update() {
      const table = read();
      if (table === undefined) return;
      entries.set(table.entries);
      max.set(table.max);
    },
    reset() {
      entries.clear();
      max.clear();
    },
  };
}
