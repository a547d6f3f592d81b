import type { NetLink } from "../native/index.js";

/** include/uapi/linux/if_arp.h, if.h */
const ARPHRD_ETHER = 1;
const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;

/**
 * Devices whose packets begin with the IP header, as the kernel's dev_is_mac_header_xmit() has them: ARPHRD_PPP, RAWIP,
 * TUNNEL, TUNNEL6, SIT, IPGRE, IP6GRE, NONE (tun, WireGuard).
 */
const WITHOUT_HEADER: ReadonlySet<number> = new Set([512, 519, 768, 769, 776, 778, 823, 65534]);

/** What a packet begins with at a device; undefined: something that the programs don't know. */
export function linkLayer(link: NetLink): "ethernet" | "none" | undefined {
  if ((link.flags & IFF_LOOPBACK) !== 0) return undefined;
  if (link.type === ARPHRD_ETHER) return "ethernet";
  return WITHOUT_HEADER.has(link.type) ? "none" : undefined;
}

export function isUp(link: NetLink): boolean {
  return (link.flags & IFF_UP) !== 0;
}

/** Whether it is part of a bridge, a bond or a team: routed packets appear at that. */
export function isPart(link: NetLink, byIndex: ReadonlyMap<number, NetLink>): boolean {
  return ["bridge", "bond", "team"].includes(byIndex.get(link.master ?? -1)?.kind ?? "");
}
