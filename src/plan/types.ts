/**
 * What the datapath should be, in the words of Docker and of the host: no slots, no generations, no map layouts (those
 * are src/datapath's). IPv4 addresses are numbers in host order ("10.0.0.1" is 0x0a000001).
 */

import type { EngineContainer, EngineNetwork } from "../docker/model.js";

export interface Plan {
  /** Sorted by endpoint id. */
  endpoints: PlannedEndpoint[];
  /** Sorted by protocol, address and port. */
  ports: PlannedPort[];
  /** The host's own unicast addresses that a port published on "any address" answers on; sorted. */
  hostAddresses: number[];
  /** Sorted by ifindex. */
  uplinks: PlannedUplink[];
  /** Ids of endpoints that could not be looked at: where the datapath has them, they and their ports stay. */
  unsure: string[];
  warnings: PlanWarning[];
}

export interface PlannedEndpoint {
  /** The engine's endpoint id, 64 hexadecimal digits. */
  endpointId: string;
  containerId: string;
  /** The container's name. */
  container: string;
  networkId: string;
  /** The network's name. */
  network: string;
  /** The veth's host side. */
  ifindex: number;
  device: string;
  bridgeIfindex: number;
  bridge: string;
  address: number;
  /** Masquerade to this address; 0: the uplink's own, as the kernel chooses it. */
  snatAddress: number;
  masquerade: boolean;
  bridging: boolean;
  /** The kernel's firewall rules decide its new connections from and to outside. */
  filtered: boolean;
  /** Of the veth: IP packet length. */
  mtu: number;
  /** The container's, 6 bytes. */
  mac: Uint8Array;
  /** Its gateway's, 6 bytes. */
  bridgeMac: Uint8Array;
  /** Whether this is the container's gateway endpoint: the one of its default route and of its published ports. */
  gateway: boolean;
}

export interface PlannedPort {
  proto: "tcp" | "udp";
  /** The host address that it is published on; 0: any of the host's. */
  address: number;
  port: number;
  /** The endpoint it leads to. */
  endpointId: string;
  containerAddress: number;
  containerPort: number;
}

export interface PlannedUplink {
  ifindex: number;
  name: string;
  mtu: number;
  /** The primary IPv4 addresses, in the kernel's order, at most UPLINK_ADDRESSES_MAX. */
  addresses: { address: number; netmask: number }[];
}

/** What the plan of one container's ports needs of its gateway endpoint. */
export interface GatewayOf {
  container: EngineContainer;
  network: EngineNetwork;
  endpoint: PlannedEndpoint;
}

/** Something that is not (or not yet) on the fast path though one could expect it, and why. */
export interface PlanWarning {
  code:
    | "engine"
    | "endpoint_without_veth"
    | "endpoint_without_address"
    | "endpoint_duplicate_address"
    | "bridging_filtered"
    | "connections_filtered"
    | "port_conflict"
    | "uplink_missing"
    | "uplink_is_bridge"
    | "uplink_without_address"
    | "default_route_elsewhere"
    | "no_uplink";
  /** One line for people. */
  message: string;
  /** True where this is expected to pass by itself within moments (a veth that is not there yet). */
  transient: boolean;
}

export interface PlanOptions {
  /** Names of the devices that lead outside; empty: chosen by what the host has. */
  uplinks: string[];
}
