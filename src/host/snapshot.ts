import { listAddresses, listLinks, listRoutes, netnsId } from "../native/index.js";
import type { DefaultRoute, FirewallState, HostState } from "./state.js";
import { readSysctls } from "./sysctl.js";

/** RT_TABLE_MAIN and RTN_UNICAST of linux/rtnetlink.h. */
const MAIN_TABLE = 254;
const UNICAST = 1;

/**
 * The host as it is now, but for its firewall, which takes longer and so has its own rhythm. Cheap: three netlink dumps, one request per container namespace, a dozen small files.
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
  return {
    links,
    addresses,
    defaultRoutes: defaultRoutes(),
    nsids,
    sysctls: readSysctls(),
  };
}

function defaultRoutes(): DefaultRoute[] {
  return listRoutes().flatMap((route) => {
    const isDefault =
      route.family === 4 && route.table === MAIN_TABLE && route.type === UNICAST && route.prefixLength === 0;
    if (!isDefault || route.oif === undefined) return [];
    return [
      {
        oif: route.oif,
        priority: route.priority ?? 0,
        ...(route.gateway === undefined ? {} : { gateway: route.gateway }),
      },
    ];
  });
}
