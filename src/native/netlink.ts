import { addon, type MonitorHandle } from "./addon.js";

/*
 * rtnetlink(7), of the network namespace that the process is in. Each list is one consistent dump: where the kernel
 * says that it changed meanwhile, it is taken again.
 */

export interface NetLink {
  ifindex: number;
  name: string;
  /** IFLA_INFO_KIND: "veth", "bridge", "vlan", ...; absent for physical devices and lo. */
  kind?: string;
  /** ARPHRD_*: 1 Ethernet, 772 loopback. */
  type: number;
  /** IFF_*. */
  flags: number;
  mtu: number;
  /** "02:42:ac:11:00:02"; only of devices with a six-byte address. */
  mac?: string;
  /** Ifindex of the bridge, bond, ... that it is a port of. */
  master?: number;
  /** IFLA_LINK: the peer's or lower device's ifindex, in the namespace that linkNetnsid names (absent: in ours). */
  link?: number;
  linkNetnsid?: number;
  /** Of a bridge's port (IFLA_BRPORT_MODE): frames may leave by the port that they came in by. */
  hairpin?: boolean;
}

export interface NetAddress {
  ifindex: number;
  family: 4 | 6;
  /** The device's own address (IFA_LOCAL), also on point-to-point devices. */
  address: string;
  prefixLength: number;
  /** RT_SCOPE_*: 0 global, 253 link, 254 host. */
  scope: number;
  /** IFA_F_*: 1 secondary, 128 permanent, ... */
  flags: number;
  label?: string;
}

/** A route of any table. One with several next hops gives one entry for each. */
export interface NetRoute {
  family: 4 | 6;
  table: number;
  /** RTN_*: 1 unicast, 2 local, ... */
  type: number;
  /** RTPROT_*: 2 kernel, 3 boot, 4 static, ... */
  protocol: number;
  scope: number;
  /** "0.0.0.0" or "::" with prefix length 0 is the default route. */
  destination: string;
  prefixLength: number;
  gateway?: string;
  oif?: number;
  prefsrc?: string;
  /** The metric; absent is 0. */
  priority?: number;
  /** The route's own, where it has one. */
  mtu?: number;
}

export interface NetNeighbour {
  ifindex: number;
  family: 4 | 6;
  address: string;
  mac?: string;
  /** NUD_*: 2 reachable, 4 stale, 128 permanent, ... */
  state: number;
}

/** All devices. A side effect of the kernel's: the namespaces of their peers get an id (netnsId) if they had none. */
export function listLinks(): NetLink[] {
  return addon().listLinks();
}

/** Those of these devices that there are, in no particular order; each as listLinks() has it. A hundred or so at most. */
export function getLinks(ifindexes: Iterable<number>): NetLink[] {
  return addon().getLinks([...ifindexes]);
}

/** All addresses, IPv4 and IPv6. */
export function listAddresses(): NetAddress[] {
  return addon().listAddresses();
}

/**
 * The routes of all tables, IPv4 and IPv6, cached ones left out.
 * @param longest only those with prefixes up to this length, and those that have an MTU of their own: a host with a thousand containers
 *   has thousands of others
 */
export function listRoutes(
  longest: { readonly 4: number; readonly 6: number } = { 4: 32, 6: 128 },
): NetRoute[] {
  return addon().listRoutes(longest[4], longest[6]);
}

/** The ARP and neighbour discovery caches. */
export function listNeighbours(): NetNeighbour[] {
  return addon().listNeighbours();
}

/** How many transactions nftables' rules have seen in this namespace, modulo 2^32 but for 0; iptables-nft's are of them. */
export function firewallGeneration(): number {
  return addon().firewallGeneration();
}

/**
 * The id by which our network namespace knows the one at `path` (RTM_GETNSID), as in NetLink.linkNetnsid. Undefined:
 * none is assigned, the path does not exist, or there is no namespace mounted on it (yet, or any more).
 */
export function netnsId(path: string): number | undefined {
  return netnsIds([path])[0];
}

/** The same for many paths, in their order. */
export function netnsIds(paths: readonly string[]): (number | undefined)[] {
  return addon().netnsIds([...paths]);
}

/** "firewall": a transaction of nftables (iptables-nft is one of its users), of whatever content. */
export type NetGroup = "link" | "address" | "route" | "neighbour" | "rule" | "firewall";

export interface NetEvent {
  kind: NetGroup;
  /** Of kind "firewall" always "new". */
  action: "new" | "del";
  /** Of the device concerned; of a route the outgoing device, where it has exactly one. */
  ifindex?: number;
  /** Of kind "route": of its destination; 0 is a default route. */
  prefixLength?: number;
  /** Of kind "link": the device as it is now, or was. */
  link?: NetLink;
}

/**
 * Tells of changes. Events of one wake-up come as one array, in the kernel's order. When they come faster than they are
 * read the kernel drops some: onLost says so, after what it did not drop, and what one knows must be listed anew. Keeps the process alive until
 * close(). What a callback throws becomes an uncaught exception. "firewall" comes from another part of the kernel than the
 * others, and can't be combined with them.
 */
export class NetMonitor {
  readonly #handle: MonitorHandle;

  constructor(groups: NetGroup[], onEvents: (events: NetEvent[]) => void, onLost: () => void) {
    this.#handle = addon().netMonitor(groups, onEvents, onLost);
  }

  /** Tells what has happened until now before it returns, instead of in another turn of the event loop. */
  poll(): void {
    this.#handle.poll();
  }

  /** No callback is called after this returns; twice is fine. */
  close(): void {
    this.#handle.close();
  }
}
