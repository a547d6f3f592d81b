import { HostLists } from "./host_lists.js";
import type { FirewallState, HostState } from "./state.js";
import { readConntrackTable, readSysctls } from "./sysctl.js";

/**
 * The host as it is now, but for its firewall, which takes longer and so has its own rhythm.
 * @param sandboxKeys paths of the containers' network namespaces, as the engine names them
 * @param lists keeps what has not changed since it was last looked at
 * @throws NativeError where netlink fails
 */
export function hostState(
  sandboxKeys: Iterable<string>,
  lists: HostLists = new HostLists(),
): Omit<HostState, keyof FirewallState> {
  return {
    ...lists.look(new Set(sandboxKeys)),
    sysctls: readSysctls(),
    conntrack: readConntrackTable(),
  };
}
