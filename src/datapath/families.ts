/** The maps that come in pairs, one per family. */
import type { Endpoint } from "../generated/index.js";
import { type Address, ANY, type Family, type PerFamily } from "../ip.js";

/** Where each is in arrays of two, as flow_table_counters. */
export const FAMILY_INDEX: PerFamily<number> = { 4: 0, 6: 1 };

export const familyMaps = {
  endpointAddresses: { 4: "endpoint_addresses_ipv4", 6: "endpoint_addresses_ipv6" },
  ports: { 4: "ports_ipv4", 6: "ports_ipv6" },
  hostAddresses: { 4: "host_addresses_ipv4", 6: "host_addresses_ipv6" },
  parentSubnets: { 4: "parent_subnets_ipv4", 6: "parent_subnets_ipv6" },
  flows: { 4: "flows_ipv4", 6: "flows_ipv6" },
} as const;

/** The endpoint's address in a family; undefined: it has none there. */
export function addressOf(
  { ipv4, ipv6 }: Pick<Endpoint, "ipv4" | "ipv6">,
  family: Family,
): Address | undefined {
  const { address } = family === 4 ? ipv4 : ipv6;
  return address === ANY[family] ? undefined : address;
}

/** Both of its addresses, those that it has. */
export function addressesOf(endpoint: Pick<Endpoint, "ipv4" | "ipv6">): Address[] {
  return [addressOf(endpoint, 4), addressOf(endpoint, 6)].filter((address) => address !== undefined);
}
