import type { HostState } from "../host/state.js";
import { netmask, parseIpv4 } from "../ipv4.js";
import type { NetLink } from "../native/index.js";
import type { PlannedUplink, PlanOptions, PlanWarning } from "./types.js";

/** include/uapi/linux/if_arp.h, if.h, if_addr.h, rtnetlink.h */
const ARPHRD_ETHER = 1;
const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFA_F_SECONDARY = 0x01;
const RT_SCOPE_UNIVERSE = 0;
/** UPLINK_ADDRESSES_MAX of bpf/lib/types.h. */
const ADDRESSES_MAX = 8;

/**
 * The devices that lead outside: those that the user named, else every Ethernet device that is up, has a global IPv4
 * address, and is no loopback, bridge or part of one (a container's veth is; bonds' parts too). Only those that are up.
 */
export function chooseUplinks(
  host: Pick<HostState, "links" | "addresses">,
  engineBridges: ReadonlySet<string>,
  options: PlanOptions,
): NetLink[] {
  if (options.uplinks.length > 0)
    return host.links.filter((link) => options.uplinks.includes(link.name) && isUp(link));
  const byIndex = new Map(host.links.map((l) => [l.ifindex, l]));
  const isPart = (link: NetLink) =>
    ["bridge", "bond", "team"].includes(byIndex.get(link.master ?? -1)?.kind ?? "") ||
    engineBridges.has(byIndex.get(link.master ?? -1)?.name ?? "");
  return host.links.filter(
    (link) =>
      link.type === ARPHRD_ETHER &&
      isUp(link) &&
      (link.flags & IFF_LOOPBACK) === 0 &&
      link.kind !== "bridge" &&
      !isPart(link) &&
      primaryAddresses(host, link.ifindex).length > 0,
  );
}

export function planUplinks(
  host: HostState,
  engineBridges: ReadonlySet<string>,
  options: PlanOptions,
  warnings: PlanWarning[],
): PlannedUplink[] {
  const byIndex = new Map(host.links.map((l) => [l.ifindex, l]));
  for (const name of new Set(options.uplinks)) {
    const link = host.links.find((l) => l.name === name);
    if (link === undefined || !isUp(link)) {
      const message = `uplink ${name} is ${link === undefined ? "gone" : "down"}`;
      warnings.push({ code: "uplink_missing", message, transient: false });
    }
  }
  const uplinks = chooseUplinks(host, engineBridges, options)
    .map((link) => ({
      ifindex: link.ifindex,
      name: link.name,
      mtu: link.mtu,
      addresses: primaryAddresses(host, link.ifindex).slice(0, ADDRESSES_MAX),
    }))
    .sort((a, b) => a.ifindex - b.ifindex);
  warnOfUplinks(host, uplinks, byIndex, warnings);
  return uplinks;
}

function isUp(link: NetLink): boolean {
  return (link.flags & IFF_UP) !== 0;
}

/** Global, not secondary, in the kernel's order: what masquerading chooses from. */
function primaryAddresses(host: Pick<HostState, "addresses">, ifindex: number): PlannedUplink["addresses"] {
  return host.addresses.flatMap((a) => {
    if (a.family !== 4 || a.ifindex !== ifindex || a.scope !== RT_SCOPE_UNIVERSE) return [];
    const address = parseIpv4(a.address);
    if (address === undefined || (a.flags & IFA_F_SECONDARY) !== 0) return [];
    return [{ address, netmask: netmask(a.prefixLength) }];
  });
}

function warnOfUplinks(
  host: HostState,
  uplinks: PlannedUplink[],
  byIndex: ReadonlyMap<number, NetLink>,
  warnings: PlanWarning[],
): void {
  for (const uplink of uplinks) {
    if (uplink.addresses.length === 0) {
      const message = `uplink ${uplink.name} has no IPv4 address: nothing is masqueraded through it on the fast path`;
      warnings.push({ code: "uplink_without_address", message, transient: false });
    }
  }
  for (const route of host.defaultRoutes) {
    if (uplinks.some((u) => u.ifindex === route.oif)) continue;
    const link = byIndex.get(route.oif);
    if (link === undefined) continue;
    const why =
      link.kind === "bridge"
        ? "it is a bridge"
        : link.type === ARPHRD_ETHER
          ? "not chosen"
          : "it has no Ethernet header";
    warnings.push({
      code: link.kind === "bridge" ? "uplink_is_bridge" : "default_route_elsewhere",
      message: `the default route leaves by ${link.name}, which is no uplink of fairway (${why}): its traffic stays on the slow path`,
      transient: false,
    });
  }
  if (uplinks.length === 0) {
    warnings.push({
      code: "no_uplink",
      message: "no uplink found: traffic from and to outside stays on the slow path; name one with --uplink",
      transient: false,
    });
  }
}
