/**
 * What the datapath should be, in the words of Docker and of the host: no slots, no generations, no map layouts (those
 * are src/datapath's).
 */

import type { EngineContainer, EngineNetwork } from "../docker/model.js";
import type { Address, PerFamily } from "../ip.js";
import type { PlannedPolicy, PolicyOptions } from "./policy_types.js";

/** Whose rules are the slow path: the engine's own, or fairway's, for an engine that writes none. */
export const MODES = ["accelerate", "replace"] as const;
export type Mode = (typeof MODES)[number];

export interface Plan {
  /** Sorted by endpoint id. */
  endpoints: PlannedEndpoint[];
  /** Of both families; sorted by protocol, address and port. */
  ports: PlannedPort[];
  /** The host's own unicast addresses that a port published on "any address" answers on; both families, sorted. */
  hostAddresses: Address[];
  /** Sorted by ifindex. */
  uplinks: PlannedUplink[];
  /** Published ports as processes of the host dial them; of both families; sorted by protocol, address and port. */
  hostPorts: PlannedHostPort[];
  /** The host's addresses that can be dialled, but for loopback; both families, sorted. */
  hostDialled: PlannedHostAddress[];
  /** Whether the programs at the socket calls may be attached at all. */
  hostSockets: boolean;
  policy: PlannedPolicy;
  /** Containers and networks that a label keeps off the fast path; sorted by what and id. */
  leftToEngine: LeftToEngine[];
  /** Devices under ipvlan and macvlan networks that have containers; sorted by ifindex. */
  parents: PlannedParent[];
  /** The host's ways to containers on parents; sorted. */
  hostRoutes: PlannedHostRoute[];
  /** Subnets of networks on parents that are routed between; sorted. */
  parentSubnets: PlannedParentSubnet[];
  /** Ids of endpoints that could not be looked at: where the datapath has them, they and their ports stay. */
  unsure: string[];
  warnings: PlanWarning[];
}

/** A container, or all of a network's, that a label keeps off the fast path. */
export interface LeftToEngine {
  what: "container" | "network";
  id: string;
  name: string;
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
  /** The veth's host side; on a parent PARENT_CHILD and the parent's. */
  ifindex: number;
  /** Its name; the parent's. */
  device: string;
  /** Its network's bridge, or parent. */
  bridgeIfindex: number;
  bridge: string;
  /** What it is in each family; undefined: it has no address there, or the host does not forward that family. */
  ip: PerFamily<PlannedIp | undefined>;
  bridging: boolean;
  /** What it and others of its network send each other is counted by pair. */
  matrix: boolean;
  /** Of the veth: IP packet length. */
  mtu: number;
  /** The container's, 6 bytes. */
  mac: Uint8Array;
  /** Its gateway's or its parent's, 6 bytes. */
  bridgeMac: Uint8Array;
  /** On ipvlan or macvlan. */
  parent?: {
    driver: "ipvlan" | "macvlan";
    /** As Docker has it: "l2", "l3", "l3s"; "bridge", "private", "vepa", "passthru". */
    mode: string;
    /** It and the host reach each other. */
    host: boolean;
    /** It is masqueraded, or has published ports. */
    translated: boolean;
    /** Its network's number, which tells it from others. */
    network: number;
    /** It and containers of other networks of which this is true reach each other. */
    route: boolean;
  };
}

/** A device under ipvlan or macvlan. */
export interface PlannedParent {
  ifindex: number;
  name: string;
  /** Addresses of containers that are translated here and would otherwise pass the host's conntrack; sorted. */
  untracked: Address[];
  /** Addresses of containers for which it answers on its link; sorted. */
  announced: Address[];
}

/** A subnet of a routed network on a parent. */
export interface PlannedParentSubnet {
  /** "192.168.1.0/24" */
  subnet: string;
  /** As PlannedEndpoint's. */
  network: number;
  /** Nobody but containers has its addresses: who sends to one that none has is told so. */
  own: boolean;
  /** In whose name its containers are told what can't be delivered; ANY: they aren't. */
  router: Address;
}

/** A route that is the host's alone, on a parent's link. */
export interface PlannedHostRoute {
  /** "192.168.1.0/24" */
  destination: string;
  ifindex: number;
  device: string;
  /**
   * It is there for containers on the device, whose packets leave by no other one, and leads to another parent's containers: the host
   * itself takes its other way.
   */
  through?: boolean;
}

/** An endpoint in one family. */
export interface PlannedIp {
  address: Address;
  /** Masquerade to this address; undefined: the uplink's own, as the kernel chooses it. */
  snatAddress: Address | undefined;
  masquerade: boolean;
  /** The kernel's firewall rules decide its new connections from and to outside. */
  filtered: boolean;
  /** Whether this is the container's gateway endpoint: the one of its default route and of its published ports. */
  gateway: boolean;
  /** On a parent: who asks for its address on the parent's link is answered. */
  announced?: boolean;
}

export interface PlannedPort {
  proto: "tcp" | "udp";
  /** The host address that it is published on; "0.0.0.0", "::": any of the host's of that family. */
  address: Address;
  port: number;
  /** The endpoint it leads to. */
  endpointId: string;
  /** Of the same family. */
  containerAddress: Address;
  containerPort: number;
}

/** What stands between a process of the host and the container: the engine's translation, or docker-proxy. */
export type HostWay = "translated" | "proxied";

/** A published port, dialled by a process of the host. */
export interface PlannedHostPort {
  proto: "tcp" | "udp";
  /** The host address that it is published on; "0.0.0.0", "::": any of the host's of that family, loopback too. */
  address: Address;
  port: number;
  endpointId: string;
  /** IPv4 also where `address` is IPv6: a container without IPv6 behind docker-proxy. */
  containerAddress: Address;
  containerPort: number;
  /** The way of connections to loopback addresses; undefined: left to the engine. */
  loopback: HostWay | undefined;
  /** The way of connections to the host's other addresses. */
  addresses: HostWay | undefined;
  /** Translated connections to those keep the source that they had before (which they do unless masqueraded). */
  keepSource: boolean;
  /** The source of translated connections otherwise; undefined: as the route to the container has it. */
  source: Address | undefined;
}

export interface PlannedHostAddress {
  address: Address;
  /** Of connections to it. */
  source: Address;
  /** The bridge of the engine's that has it; undefined: another device. */
  bridgeIfindex: number | undefined;
}

export interface PlannedUplink {
  ifindex: number;
  name: string;
  /** The smallest of the device's and its routes' own. */
  mtu: number;
  /** Its packets begin with the IP header (tunnels, WireGuard, PPP): the programs for that go there. */
  l3: boolean;
  /** The primary IPv4 addresses, in the kernel's order, at most UPLINK_ADDRESSES_MAX. */
  addresses: { address: Address; netmask: Address }[];
  /** Its one global, preferred IPv6 address; undefined when it has none, or several to choose from. */
  ipv6: Address | undefined;
}

/** What the plan of one container's ports of one family needs of its gateway endpoint. */
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
    | "firewall_ignored"
    | "connections_filtered"
    | "connections_learned"
    | "dials_filtered"
    | "host_sockets"
    | "forwarding_off"
    | "conntrack_nearly_full"
    | "port_conflict"
    | "label"
    | "parent_label"
    | "parent_untracked"
    | "parent_route"
    | "parent_announce"
    | "policy_label"
    | "uplink_missing"
    | "uplink_is_bridge"
    | "uplink_without_address"
    | "uplink_unfit"
    | "uplink_program_after"
    | "default_route_elsewhere"
    | "no_uplink";
  /** One line for people. */
  message: string;
  /** True where this is expected to pass by itself within moments (a veth that is not there yet). */
  transient: boolean;
}

export interface PlanOptions extends PolicyOptions {
  /** Names of the devices that lead outside; empty: chosen by what the host has. */
  uplinks: string[];
  /** Default "accelerate". */
  mode?: Mode;
  /** Default "auto". */
  hostSockets?: HostSocketsMode;
  /** Default "auto". */
  trustFirewall?: TrustFirewallMode;
}

export const HOST_SOCKETS_MODES = ["auto", "off"] as const;
/** Whether processes of the host are led to published ports at their socket calls. */
export type HostSocketsMode = (typeof HOST_SOCKETS_MODES)[number];

export const TRUST_FIREWALL_MODES = ["auto", "ignore"] as const;
/** Whether the kernel decides what a rule of the user's may concern, or such rules are not asked on the fast path. */
export type TrustFirewallMode = (typeof TRUST_FIREWALL_MODES)[number];
