import type { NetAddress, NetLink } from "../native/index.js";

/** The defaults are the kernel's own (net/netfilter/nf_conntrack_proto_*.c); all in seconds. */
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
  /** net.ipv4.ip_forward */
  ipForward: boolean;
  timeouts: ConntrackTimeouts;
}

/** A route that the planner needs: only default routes of IPv4. */
export interface DefaultRoute {
  oif: number;
  gateway?: string;
  priority: number;
}

/** What of the host's firewall is not the engine's. */
export interface FirewallState {
  /**
   * The first rule that may concern packets routed between an uplink and a container, or why it can't be known;
   * undefined: nothing but the engine's own rules does.
   */
  routingObstacle: string | undefined;
  /** The same for packets between containers of one network. */
  bridgingObstacle: string | undefined;
  /** Differs when any of them has changed. */
  foreignRules: string;
}

/** One look at the host's network namespace, taken by netlink, /proc and the firewall's tools. */
export interface HostState extends FirewallState {
  links: NetLink[];
  addresses: NetAddress[];
  defaultRoutes: DefaultRoute[];
  /** Sandbox key (path of a namespace file) to the id by which our namespace knows it; those without an id are missing. */
  nsids: Map<string, number>;
  sysctls: HostSysctls;
}
