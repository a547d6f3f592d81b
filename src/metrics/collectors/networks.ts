import type { CollectorKind } from "../collector.js";
import { gauge } from "../metric.js";

const info = gauge({
  name: "fairway_network_info",
  unit: "none",
  help: "A network of the engine: its driver, its bridge or parent and what it allows; always 1",
  labels: ["network", "driver", "driver_mode", "bridge", "internal", "icc", "masquerade", "ipv6"],
});
const count = gauge({
  name: "fairway_network_endpoints",
  unit: "endpoints",
  help: "Endpoints of running containers on a network, by the engine's word",
  labels: ["network", "driver"],
});
const inDatapath = gauge({
  name: "fairway_endpoints",
  unit: "endpoints",
  help: "Endpoints that are in the datapath, by network",
  labels: ["network"],
});

/** The engine's networks, and how many endpoints each has. */
export const networks: CollectorKind = {
  name: "networks",
  metrics: [info, count, inDatapath],
  create: ({ source }) => ({
    collect(out) {
      const state = source.engineState;
      if (state === undefined) return undefined;
      const attached = new Map<string, number>();
      for (const { running, endpoints } of state.containers)
        for (const { networkId } of running ? endpoints : [])
          attached.set(networkId, (attached.get(networkId) ?? 0) + 1);
      const placed = new Map<string, number>();
      for (const { network } of source.reader?.placements() ?? [])
        placed.set(network, (placed.get(network) ?? 0) + 1);
      for (const network of state.networks) {
        const {
          name,
          driver,
          mode = "",
          parent = "",
          bridgeName = parent,
          internal,
          icc,
          masquerade,
          ipv6,
        } = network;
        const flags = [internal, icc, masquerade, ipv6].map(String) as [string, string, string, string];
        out.add(info, [name, driver, mode, bridgeName, ...flags], 1);
        out.add(count, [name, driver], attached.get(network.id) ?? 0);
        if (driver === "bridge") out.add(inDatapath, [name], placed.get(name) ?? 0);
      }
      return undefined;
    },
  }),
};
