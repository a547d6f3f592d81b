import type { CollectorKind } from "../collector.js";
import { gauge } from "../metric.js";

const ignored = gauge({
  name: "fairway_firewall_ignored",
  unit: "none",
  help: "1 when rules of the user's don't count on the fast path (trust-firewall: ignore), else 0",
});

/** Whether the fast path goes by the user's own firewall rules. */
export const firewall: CollectorKind = {
  name: "firewall",
  metrics: [ignored],
  create: ({ source }) => ({
    collect(out) {
      out.add(ignored, [], source.status().trustFirewall === "ignore" ? 1 : 0);
      return undefined;
    },
  }),
};
