import type { Registry } from "prom-client";
import type { Collector, CollectorContext } from "../collector.js";
import { SingleGauge } from "../gauges.js";

/** Whether the fast path goes by the user's own firewall rules. */
export function firewall(registry: Registry, { source }: CollectorContext): Collector {
  const ignored = new SingleGauge(
    registry,
    "fairway_firewall_ignored",
    "1 when rules of the user's don't count on the fast path (trust-firewall: ignore), else 0",
  );
  return {
    name: "firewall",
    update() {
      ignored.set(source.status().trustFirewall === "ignore" ? 1 : 0);
    },
    reset() {
      ignored.clear();
    },
  };
}
