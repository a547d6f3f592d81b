import { FILLED_MAPS } from "../datapath/actual.js";
import type { MapName } from "../generated/index.js";

/**
 * What the control plane alone writes: the replica's programs read the very maps that the attached ones do. All others are the
 * replica's own.
 */
export const PLAN_MAPS: ReadonlySet<MapName> = new Set<MapName>([
  ...FILLED_MAPS,
  "control",
  "endpoints",
  "sources_ipv4",
  "sources_ipv6",
  "source_blocks",
  "port_policies_ipv4",
  "port_policies_ipv6",
  "host_devices",
  "parent_filter",
]);

/** Of the others, those that a packet leaves a trace of in, and how many entries are enough for a few packets. */
const FEW = 1024;
const SMALL: readonly MapName[] = [
  "flows_ipv4",
  "flows_ipv6",
  "limits_ipv4",
  "limits_ipv6",
  "echoes_ipv4",
  "echoes_ipv6",
  "icmp_budgets_ipv4",
  "icmp_budgets_ipv6",
  "openings",
  "pairs",
  "reasons",
  "host_peers",
  "host_streams",
  "host_port_counters",
];
/** And those of which nothing is asked: by port, and by slot. */
const UNUSED: readonly MapName[] = ["port_counters", "open_connections"];

/**
 * How large a replica's own maps are where that is less than those in use.
 * @param slots of endpoints that there is something to be counted of
 */
export function ownMapSizes(slots: number): [MapName, number][] {
  return [
    ...SMALL.map((name): [MapName, number] => [name, FEW]),
    ...UNUSED.map((name): [MapName, number] => [name, 1]),
    ["endpoint_counters", Math.max(slots, 1)],
  ];
}
