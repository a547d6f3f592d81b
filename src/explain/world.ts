import { addressOf } from "../datapath/families.js";
import { type Endpoint, EndpointFlags, type Uplink } from "../generated/index.js";
import type { Address, Family } from "../ip.js";
import type { NetLink, NetRoute } from "../native/index.js";

/** An endpoint of the plan; container and network where a daemon runs that knows their names. */
export interface KnownEndpoint {
  slot: number;
  endpoint: Endpoint;
  container?: string;
  network?: string;
}

/** What is to be known of host and plan to tell where a packet passes. */
export interface World {
  endpoints: readonly KnownEndpoint[];
  /** By ifindex. */
  uplinks: ReadonlyMap<number, Uplink>;
  /** By ifindex. */
  devices: ReadonlyMap<number, NetLink>;
  hostAddresses: ReadonlySet<Address>;
  /** The host's route to an address; undefined: none. */
  route: (address: Address) => Pick<NetRoute, "type" | "oif" | "prefsrc"> | undefined;
}

export function deviceName(world: World, ifindex: number): string {
  return world.devices.get(ifindex)?.name ?? `device ${ifindex}`;
}

/** "web@app", or the addresses of one whose name nobody knows. */
export function endpointName({ container, network, endpoint }: KnownEndpoint): string {
  if (container !== undefined && network !== undefined) return `${container}@${network}`;
  return addressOf(endpoint, 4) ?? addressOf(endpoint, 6) ?? "an endpoint";
}

export function endpointAt(world: World, address: Address): KnownEndpoint | undefined {
  return world.endpoints.find(({ endpoint }) =>
    ([4, 6] as const).some((f) => addressOf(endpoint, f) === address),
  );
}

export const isOnParent = ({ endpoint }: KnownEndpoint): boolean =>
  (endpoint.flags & EndpointFlags.PARENT) !== 0;

/** Whether a device is what containers of ipvlan or macvlan are on. */
export function isParent(world: World, ifindex: number): boolean {
  return world.endpoints.some((known) => isOnParent(known) && known.endpoint.bridgeIfindex === ifindex);
}

/** The address that the host has at an uplink, the first; undefined: none of the family. */
export function uplinkAddress(uplink: Uplink | undefined, family: Family): Address | undefined {
  const address = family === 4 ? uplink?.ipv4[0]?.address : uplink?.ipv6;
  return address === "0.0.0.0" || address === "::" ? undefined : address;
}
