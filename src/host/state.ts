import type { Address, Family, PerFamily } from "../ip.js";
import type { NetAddress, NetLink } from "../native/index.js";
import type { EngineDials } from "./engine_dials.js";

/** net.netfilter.nf_conntrack_*; all in seconds. */
export interface ConntrackTimeouts {
  tcpEstablished: number;
  tcpSynSent: number;
  tcpSynRecv: number;
  tcpFinWait: number;
  tcpClose: number;
  udp: number;
  udpStream: number;
}

export interface HostSysctls {
  /** net.ipv4.ip_forward, net.ipv6.conf.all.forwarding: without it the kernel drops what is not for the host. */
  forwarding: PerFamily<boolean>;
  timeouts: ConntrackTimeouts;
}

/** A route that leads to (nearly) everywhere: "default", and the halves of it that VPNs lay over the default. */
export interface DefaultRoute {
  family: Family;
  /** RT_TABLE_*: 254 main. */
  table: number;
  oif: number;
  gateway?: Address;
  priority: number;
}

/** How full the kernel's connection tracking table is. */
export interface ConntrackTable {
  entries: number;
  max: number;
}

/** What the firewall does with connections of the host's own to published ports. */
export interface HostDials extends EngineDials {
  /** The first rule that is not the engine's and may concern them, or why it can't be known. */
  obstacle: string | undefined;
}

/** What of the host's firewall is not the engine's. */
export interface FirewallState {
  /**
   * The first rule that may concern packets routed between an uplink and a container, or why it can't be known;
   * undefined: nothing but the engine's own rules does.
   */
  routingObstacle: PerFamily<string | undefined>;
  /** The same for packets between containers of one network, of either family. */
  bridgingObstacle: string | undefined;
  /**
   * Whether the engine translates addresses by rules of its own. Not where it was told to leave them alone, as engines
   * before 27 leave IPv6's by default: then ports are docker-proxy's, and nothing is masqueraded.
   */
  engineNat: PerFamily<boolean>;
  dials: PerFamily<HostDials>;
  /** Differs when any of them has changed. */
  foreignRules: string;
}

/** One look at the host's network namespace, taken by netlink, /proc and the firewall's tools. */
export interface HostState extends FirewallState {
  links: NetLink[];
  addresses: NetAddress[];
  defaultRoutes: DefaultRoute[];
  /** The smallest MTU that routes by a device have of their own, by its ifindex. */
  routeMtus: Map<number, number>;
  /** Sandbox key (path of a namespace file) to the id by which our namespace knows it; those without an id are missing. */
  nsids: Map<string, number>;
  sysctls: HostSysctls;
  /** Undefined where it can't be read. */
  conntrack: ConntrackTable | undefined;
}
