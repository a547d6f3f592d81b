import type { EngineNetwork } from "../docker/model.js";
import type { NetLink } from "../native/index.js";
import { readEnable } from "./labels.js";

/**
 * The devices that are likely to be endpoints' while nothing is known yet but the networks and the host's devices: pairs that lead from one
 * of the engine's bridges into another namespace, unless a label leaves the network to the engine. Pure.
 * @returns ifindexes
 */
export function likelyEndpointDevices(
  networks: readonly EngineNetwork[],
  links: readonly NetLink[],
): number[] {
  const names = new Set(networks.flatMap((n) => (readEnable(n.labels).enabled ? (n.bridgeName ?? []) : [])));
  const bridges = new Set(links.flatMap((l) => (l.kind === "bridge" && names.has(l.name) ? l.ifindex : [])));
  return links.flatMap(({ kind, ifindex, master, linkNetnsid }) => {
    const isLikely =
      kind === "veth" && linkNetnsid !== undefined && master !== undefined && bridges.has(master);
    return isLikely ? ifindex : [];
  });
}
