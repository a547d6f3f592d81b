import { addon } from "./addon.js";
import type { ConntrackEntry, ConntrackTcpUpdate, ConntrackTuple } from "./conntrack-types.js";

/*
 * The kernel's connection tracking table by ctnetlink (linux/netfilter/nfnetlink_conntrack.h), of the network
 * namespace that the process is in, zone 0 where nothing else is said.
 */

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
