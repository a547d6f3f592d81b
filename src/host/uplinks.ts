import { UserError } from "../errors.js";
import { listLinks, type NetLink } from "../native/index.js";

/** linux/if_arp.h */
const ARPHRD_ETHER = 1;

/**
 * Checks the uplinks that the user named against the devices that there are.
 * @throws UserError for one that doesn't exist, naming those that do, and for one that can't be an uplink.
 */
export function checkUplinks(names: string[], links: NetLink[] = listLinks()): void {
  for (const name of names) {
    const link = links.find((l) => l.name === name);
    if (link === undefined) {
      throw new UserError(`no uplink ${JSON.stringify(name.slice(0, 64))} on this host`, {
        remedy: `choose of ${candidates(links).join(", ") || "(no Ethernet device here)"}`,
      });
    }
    if (link.type !== ARPHRD_ETHER) {
      throw new UserError(`${name} can't be an uplink: it has no Ethernet header`, {
        remedy: `choose of ${candidates(links).join(", ") || "(no Ethernet device here)"}`,
      });
    }
  }
}

/** Ethernet devices that are neither bridges nor part of one. */
function candidates(links: NetLink[]): string[] {
  const kinds = new Map(links.map((l) => [l.ifindex, l.kind]));
  return links
    .filter((l) => l.type === ARPHRD_ETHER && l.kind !== "bridge" && kinds.get(l.master ?? -1) !== "bridge")
    .map((l) => l.name)
    .sort();
}
