import { isPart, isUp, linkLayer } from "../host/devices.js";
import type { HostState } from "../host/state.js";
import { type Address, canonical, type Family, isUnicast, netmask } from "../ip.js";
import type { NetAddress, NetLink } from "../native/index.js";
import type { PlannedUplink, PlanOptions, PlanWarning } from "./types.js";

/** include/uapi/linux/if_addr.h, rtnetlink.h */
const IFA_F_SECONDARY = 0x01;
const IFA_F_DADFAILED = 0x08;
const IFA_F_DEPRECATED = 0x20;
const IFA_F_TENTATIVE = 0x40;
const RT_SCOPE_UNIVERSE = 0;
const RT_TABLE_MAIN = 254;
/** UPLINK_ADDRESSES_MAX of bpf/lib/types.h. */
const ADDRESSES_MAX = 8;

type Devices = Pick<HostState, "links" | "addresses" | "defaultRoutes">;

/**
 * The devices that lead outside, of those that are up: the ones that the user named, else every device that carries a default
 * route, and every Ethernet device with a global address that is no bridge. A bridge, a bond or a VLAN is one itself, its
 * parts are not: routed packets appear at the whole. The engine's bridges never are.
 */
export function chooseUplinks(
  host: Devices,
  engineBridges: ReadonlySet<string>,
  options: Pick<PlanOptions, "uplinks">,
): NetLink[] {
  const byIndex = new Map(host.links.map((l) => [l.ifindex, l]));
  const routed = new Set(host.defaultRoutes.map((route) => route.oif));
  const leadsOutside = (link: NetLink) =>
    routed.has(link.ifindex) ||
    (linkLayer(link) === "ethernet" && link.kind !== "bridge" && hasGlobalAddress(host, link.ifindex));
  return host.links.filter(
    (link) =>
      isUp(link) &&
      unfitness(link, byIndex, engineBridges) === undefined &&
      (options.uplinks.length > 0 ? options.uplinks.includes(link.name) : leadsOutside(link)),
  );
}

/** Why a device can't be an uplink; undefined: it can. */
function unfitness(
  link: NetLink,
  byIndex: ReadonlyMap<number, NetLink>,
  engineBridges: ReadonlySet<string>,
): string | undefined {
  if (linkLayer(link) === undefined) return "its packets are neither Ethernet's nor plain IP";
  if (engineBridges.has(link.name)) return "it is a bridge of the engine's";
  const whole = byIndex.get(link.master ?? -1);
  if (whole !== undefined && (isPart(link, byIndex) || engineBridges.has(whole.name)))
    return `it is part of ${whole.name}`;
  return undefined;
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
      continue;
    }
    const why = unfitness(link, byIndex, engineBridges);
    if (why === undefined) continue;
    warnings.push({ code: "uplink_unfit", message: `${name} can't be an uplink: ${why}`, transient: false });
  }
  const uplinks = chooseUplinks(host, engineBridges, options)
    .map(
      (link): PlannedUplink => ({
        ifindex: link.ifindex,
        name: link.name,
        mtu: smallestMtu(host, link),
        l3: linkLayer(link) === "none",
        addresses: primaryAddresses(host, link.ifindex).slice(0, ADDRESSES_MAX),
        ipv6: theIpv6Address(host, link.ifindex),
      }),
    )
    .sort((a, b) => a.ifindex - b.ifindex);
  warnOfUplinks(host, uplinks, byIndex, engineBridges, warnings);
  return uplinks;
}

/**
 * What fits by every route of the device: the kernel holds forwarded packets to a route's own MTU, but its answer to the
 * programs (bpf_fib_lookup) has it only where it is locked. A larger packet by another route is left to the kernel, no more.
 */
function smallestMtu(host: HostState, link: NetLink): number {
  return Math.min(link.mtu, host.routeMtus.get(link.ifindex) ?? link.mtu);
}

/** Global, not secondary, in the kernel's order: what masquerading chooses from. */
function primaryAddresses(host: Devices, ifindex: number): PlannedUplink["addresses"] {
  return globalAddresses(host, ifindex, 4).flatMap(({ address, flags, prefixLength }) => {
    const known = canonical(address, 4);
    if (known === undefined || (flags & IFA_F_SECONDARY) !== 0) return [];
    return [{ address: known, netmask: netmask(prefixLength) }];
  });
}

/**
 * The only one that the kernel could choose as a source: global, valid and preferred. Temporary addresses count as others to
 * choose from (whether they are preferred is a sysctl's matter), so where there is one, choosing is the kernel's.
 */
function theIpv6Address(host: Devices, ifindex: number): Address | undefined {
  const preferred = globalAddresses(host, ifindex, 6).filter(
    ({ flags }) => (flags & (IFA_F_DADFAILED | IFA_F_DEPRECATED | IFA_F_TENTATIVE)) === 0,
  );
  const [only] = preferred;
  if (only === undefined || preferred.length > 1) return undefined;
  const address = canonical(only.address, 6);
  return address !== undefined && isUnicast(address) ? address : undefined;
}

function hasGlobalAddress(host: Devices, ifindex: number): boolean {
  return globalAddresses(host, ifindex, 4).length > 0 || globalAddresses(host, ifindex, 6).length > 0;
}

function globalAddresses(host: Devices, ifindex: number, family: Family): NetAddress[] {
  return host.addresses.filter(
    (a) => a.family === family && a.ifindex === ifindex && a.scope === RT_SCOPE_UNIVERSE,
  );
}

function warnOfUplinks(
  host: HostState,
  uplinks: PlannedUplink[],
  byIndex: ReadonlyMap<number, NetLink>,
  engineBridges: ReadonlySet<string>,
  warnings: PlanWarning[],
): void {
  for (const uplink of uplinks) {
    if (hasGlobalAddress(host, uplink.ifindex)) continue;
    const message = `uplink ${uplink.name} has no global address: nothing is masqueraded through it on the fast path`;
    warnings.push({ code: "uplink_without_address", message, transient: false });
  }
  const told = new Set(uplinks.map((u) => u.ifindex));
  for (const route of host.defaultRoutes) {
    const link = byIndex.get(route.oif);
    if (route.table !== RT_TABLE_MAIN || link === undefined || told.has(route.oif)) continue;
    told.add(route.oif);
    const why = unfitness(link, byIndex, engineBridges) ?? (isUp(link) ? "not chosen" : "it is down");
    warnings.push({
      code: engineBridges.has(link.name) ? "uplink_is_bridge" : "default_route_elsewhere",
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
