import type { CollectorKind } from "../collector.js";
import { gauge } from "../metric.js";

const info = gauge({
  name: "fairway_uplink_info",
  unit: "none",
  help: "A device that leads outside, with its addresses; always 1",
  labels: ["device", "addresses"],
});
const mtu = gauge({
  name: "fairway_uplink_mtu_bytes",
  unit: "bytes",
  help: "The smallest MTU of an uplink and of the routes through it",
  labels: ["device"],
});

/** The devices that lead outside. */
export const uplinks: CollectorKind = {
  name: "uplinks",
  metrics: [info, mtu],
  create: ({ source }) => ({
    collect(out) {
      for (const uplink of source.status().uplinks) {
        out.add(info, [uplink.name, uplink.addresses.join(",")], 1);
        out.add(mtu, [uplink.name], uplink.mtu);
      }
      return undefined;
    },
  }),
};
