import type { Logger } from "pino";
import { errorMessage } from "../errors.js";
import { type Address, FAMILIES, type Family, familyOf } from "../ip.js";
import { type ConntrackEntry, deleteConntrack, deleteConntrackOf, listConntrack } from "../native/index.js";

const IPPROTO_UDP = 17;

/**
 * Deletes the connections to and from container addresses that nobody has any more, so that the next owner of an
 * address gets no packet of theirs.
 * Failures are logged, since the endpoint is gone from the datapath all the same.
 */
export function deleteConnectionsOf(addresses: ReadonlySet<Address>, log: Logger): void {
  for (const family of FAMILIES) {
    const own = new Set([...addresses].filter((address) => familyOf(address) === family));
    if (own.size === 0) continue;
    try {
      deleteOfFamily(family, own);
    } catch (error) {
      const message = "conntrack entries of removed endpoints could not be deleted";
      log.error({ family, error: errorMessage(error) }, message);
    }
  }
}

/** Up to here the kernel is asked once for each address, which costs it a walk of the table; beyond, the table is listed. */
const ASKED_EACH_MAX = 16;

function deleteOfFamily(family: Family, addresses: ReadonlySet<Address>): void {
  const few = addresses.size <= ASKED_EACH_MAX;
  if (few && [...addresses].every((address) => deleteConntrackOf(family, address))) return;
  for (const entry of listConntrack(family)) {
    if (concerns(entry, addresses)) deleteConntrack(entry.original);
  }
}

/** A UDP port that has just been published. */
export interface FreshUdpPort {
  family: Family;
  /** The host addresses that it is published on. */
  addresses: ReadonlySet<Address>;
  port: number;
  containerAddress: Address;
}

/**
 * Deletes UDP connections to ports that were just published and lead elsewhere: a client that sent while nobody had the
 * port made the kernel remember it as the host's own, and would keep that alive for as long as it goes on sending.
 * Engines before 23 leave that to the user (moby#8795).
 * @returns how many were deleted; failures are logged
 */
export function deleteStaleUdp(ports: FreshUdpPort[], log: Logger): number {
  if (ports.length === 0) return 0;
  let deleted = 0;
  try {
    for (const family of FAMILIES) {
      const own = ports.filter((port) => port.family === family);
      for (const entry of own.length === 0 ? [] : listConntrack(family)) {
        if (own.some((port) => isStale(entry, port)) && deleteConntrack(entry.original)) deleted++;
      }
    }
  } catch (error) {
    log.error({ error: errorMessage(error) }, "stale UDP connections could not be deleted");
  }
  return deleted;
}

/** Whether an entry is of a published port but not with its container. Pure. */
export function isStale(
  { original, reply }: Pick<ConntrackEntry, "original" | "reply">,
  port: Omit<FreshUdpPort, "family">,
): boolean {
  return (
    original.proto === IPPROTO_UDP &&
    original.dport === port.port &&
    port.addresses.has(original.daddr) &&
    reply.saddr !== port.containerAddress
  );
}

/** A container's address is one end of its connections: the original's source, or the source of the replies. */
function concerns(entry: ConntrackEntry, addresses: ReadonlySet<Address>): boolean {
  return addresses.has(entry.original.saddr) || addresses.has(entry.reply.saddr);
}
