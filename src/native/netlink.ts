import { addon, type MonitorHandle } from "./addon.js";
import { NativeError } from "./errors.js";
import type { NetAddress, NetEvent, NetGroup, NetLink, NetNeighbour, NetRoute } from "./netlink-types.js";

/*
 * rtnetlink(7), of the network namespace that the process is in. Each list is one consistent dump: where the kernel
 * says that it changed meanwhile, it is taken again.
 */

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

/** What routing says where there is no way. */
const noWay = new Set(["ENETUNREACH", "EHOSTUNREACH"]);

/**
 * The route that the host's own packets to an address take (RTM_GETROUTE, as `ip route get` asks it): its device, gateway and source address;
 * type 2: the address is the host's own. Undefined: there is no route. NativeError: EINVAL for no address and where a blackhole is,
 * EACCES where it is prohibited.
 */
export function findRoute(address: string): NetRoute | undefined {
  try {
    return addon().findRoute(address);
  } catch (error) {
    if (error instanceof NativeError && noWay.has(error.code)) return undefined;
    throw error;
  }
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
