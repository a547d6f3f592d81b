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

/** One look at the host's network namespace, taken by netlink and /proc. */
export interface HostState {
  links: NetLink[];
  addresses: NetAddress[];
  defaultRoutes: DefaultRoute[];
  /** Sandbox key (path of a namespace file) to the id by which our namespace knows it; those without an id are missing. */
  nsids: Map<string, number>;
  sysctls: HostSysctls;
  /**
   * Why packets between containers of one network have to go through the kernel (rules that are not the engine's);
   * undefined: they need not.
   */
  bridgingObstacle: string | undefined;
}
