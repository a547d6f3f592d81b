/** What the planner wants to know of the routes. Pure. */
import type { NetRoute } from "../native/index.js";
import type { DefaultRoute } from "./state.js";

/** RTN_UNICAST of linux/rtnetlink.h. */
const UNICAST = 1;
/** How long the prefix of a route may be that leads to everywhere: OpenVPN has 0.0.0.0/1 and 128.0.0.0/1, others 2000::/3. */
export const LONGEST_DEFAULT_PREFIX = { 4: 1, 6: 3 } as const;

/** The routes to everywhere, of any table, by device. */
export function defaultRoutes(routes: NetRoute[]): DefaultRoute[] {
  return routes.flatMap(({ family, table, type, prefixLength, oif, gateway, priority }) => {
    if (type !== UNICAST || oif === undefined || prefixLength > LONGEST_DEFAULT_PREFIX[family]) return [];
    return [{ family, table, oif, priority: priority ?? 0, ...(gateway === undefined ? {} : { gateway }) }];
  });
}

/** The smallest MTU of each device's routes that have one of their own. */
export function routeMtus(routes: NetRoute[]): Map<number, number> {
  const smallest = new Map<number, number>();
  for (const { oif, mtu } of routes) {
    if (oif !== undefined && mtu !== undefined) smallest.set(oif, Math.min(mtu, smallest.get(oif) ?? mtu));
  }
  return smallest;
}
