import type { CollectorKind } from "../collector.js";
import { counter, gauge } from "../metric.js";

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

const xdp = counter({
  name: "fairway_uplink_xdp_packets_total",
  unit: "packets",
  help: "Packets by what XDP did with them before there was an skb, where it is attached; pass is left to everything that comes after",
  labels: ["device", "verdict"],
});

/** The devices that lead outside. */
export const uplinks: CollectorKind = {
  name: "uplinks",
  metrics: [info, mtu, xdp],
  create: ({ source }) => ({
    collect(out) {
      for (const uplink of source.status().uplinks) {
        out.add(info, [uplink.name, uplink.addresses.join(",")], 1);
        out.add(mtu, [uplink.name], uplink.mtu);
      }
      for (const { device, passed, dropped } of source.reader?.xdp() ?? []) {
        out.add(xdp, [device, "pass"], passed);
        out.add(xdp, [device, "drop"], dropped);
      }
      return undefined;
    },
  }),
};
