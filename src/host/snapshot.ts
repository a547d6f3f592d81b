import { listAddresses, listLinks, listRoutes, type NetRoute, netnsId } from "../native/index.js";
import type { DefaultRoute, FirewallState, HostState } from "./state.js";
import { readConntrackTable, readSysctls } from "./sysctl.js";

/** RTN_UNICAST of linux/rtnetlink.h. */
const UNICAST = 1;
/** How long the prefix of a route may be that leads to everywhere: OpenVPN has 0.0.0.0/1 and 128.0.0.0/1, others 2000::/3. */
export const LONGEST_DEFAULT_PREFIX = { 4: 1, 6: 3 } as const;

/**
 * The host as it is now, but for its firewall, which takes longer and so has its own rhythm. Cheap: three netlink dumps,
 * one request per container namespace, a dozen small files.
 * @param sandboxKeys paths of the containers' network namespaces, as the engine names them
 * @throws NativeError where netlink fails
 */
export function hostState(sandboxKeys: Iterable<string>): Omit<HostState, keyof FirewallState> {
  // The links first: listing them has the kernel give ids to the namespaces of their peers.
  const links = listLinks();
  const addresses = listAddresses();
  const nsids = new Map<string, number>();
  for (const key of new Set(sandboxKeys)) {
    const nsid = key === "" ? undefined : netnsId(key);
    if (nsid !== undefined) nsids.set(key, nsid);
  }
  const routes = listRoutes();
  return {
    links,
    addresses,
    defaultRoutes: defaultRoutes(routes),
    routeMtus: routeMtus(routes),
    nsids,
    sysctls: readSysctls(),
    conntrack: readConntrackTable(),
  };
}

/** The routes to everywhere, of any table, by device. Pure. */
export function defaultRoutes(routes: NetRoute[]): DefaultRoute[] {
  return routes.flatMap(({ family, table, type, prefixLength, oif, gateway, priority }) => {
    if (type !== UNICAST || oif === undefined || prefixLength > LONGEST_DEFAULT_PREFIX[family]) return [];
    return [{ family, table, oif, priority: priority ?? 0, ...(gateway === undefined ? {} : { gateway }) }];
  });
}

/** The smallest MTU of each device's routes that have one of their own. Pure. */
export function routeMtus(routes: NetRoute[]): Map<number, number> {
  const smallest = new Map<number, number>();
  for (const { oif, mtu } of routes) {
    if (oif !== undefined && mtu !== undefined) smallest.set(oif, Math.min(mtu, smallest.get(oif) ?? mtu));
  }
  return smallest;
}
