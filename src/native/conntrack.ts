import { addon } from "./addon.js";

/*
 * The kernel's connection tracking table by ctnetlink (linux/netfilter/nfnetlink_conntrack.h), of the network
 * namespace that the process is in, zone 0 where nothing else is said.
 */

/** Addresses as text, ports in host order. ICMP: sport is the id, dport is type * 256 + code. */
export interface ConntrackTuple {
  family: 4 | 6;
  /** IPPROTO_*. */
  proto: number;
  saddr: string;
  daddr: string;
  sport: number;
  dport: number;
}

export interface ConntrackEntry {
  original: ConntrackTuple;
  reply: ConntrackTuple;
  /** IPS_* of linux/netfilter/nf_conntrack_common.h. */
  status: number;
  /** Seconds left. */
  timeout?: number;
  /** TCP_CONNTRACK_*: 0 none, 1 SYN sent, 2 SYN received, 3 established, ... */
  tcpState?: number;
  mark: number;
  /** Absent: zone 0. */
  zone?: number;
}

export interface ConntrackTcpUpdate {
  original: ConntrackTuple;
  /** TCP_CONNTRACK_* to set. */
  state?: number;
  /** Change the state only from this one (read just before; not atomic with the change). */
  onlyFrom?: number;
  /** Set IP_CT_TCP_FLAG_BE_LIBERAL both ways: segments out of the window are still part of the connection. */
  liberal: boolean;
}

/** All entries of an address family, of every zone. */
export function listConntrack(family: 4 | 6): ConntrackEntry[] {
  return addon().listConntrack(family);
}

/** Deletes the entry with this original tuple (zone 0); false when there is none. */
export function deleteConntrack(original: ConntrackTuple): boolean {
  return addon().deleteConntrack(original);
}

/**
 * Deletes, in the kernel, every entry whose original or whose replies have this source address.
 * @returns false where the kernel can't select what to delete (before 6.13, and IPv6, where its filter is the wrong way round):
 *   what has to go must be listed then
 */
export function deleteConntrackOf(family: 4 | 6, address: string): boolean {
  return addon().deleteConntrackOf(family, address);
}

/** Changes entries of TCP connections; those that are gone are skipped. Returns how many changed. */
export function updateConntrackTcp(updates: ConntrackTcpUpdate[]): number {
  return addon().updateConntrackTcp(updates);
}
