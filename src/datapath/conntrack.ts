import type { Logger } from "pino";
import { errorMessage } from "../errors.js";
import { readSysctl, writeSysctl } from "../host/sysctl.js";
import { type ConntrackEntry, deleteConntrack, listConntrack } from "../native/index.js";
import type { StateFile } from "./state_file.js";

/** Segments that the kernel's tracker did not see move a connection's window: it must not take the next for invalid. */
export const BE_LIBERAL = "net.netfilter.nf_conntrack_tcp_be_liberal";

/**
 * Deletes the connections to and from container addresses that nobody has any more, so that the next owner of an
 * address gets no packet of theirs.
 * @param addresses dotted decimal
 * @returns how many were deleted; failures are logged, since the endpoint is gone from the datapath all the same
 */
export function deleteConnectionsOf(addresses: ReadonlySet<string>, log: Logger): number {
  let deleted = 0;
  try {
    for (const entry of listConntrack(4)) {
      if (concerns(entry, addresses) && deleteConntrack(entry.original)) deleted++;
    }
  } catch (error) {
    log.error({ error: errorMessage(error) }, "conntrack entries of removed endpoints could not be deleted");
  }
  return deleted;
}

/** A container's address is one end of its connections: the original's source, or the source of the replies. */
function concerns(entry: ConntrackEntry, addresses: ReadonlySet<string>): boolean {
  return addresses.has(entry.original.saddr) || addresses.has(entry.reply.saddr);
}

/** Sets nf_conntrack_tcp_be_liberal, having written down what it was before. */
export function setBeLiberal(state: StateFile, log: Logger): void {
  const before = readSysctl(BE_LIBERAL);
  if (before === undefined) {
    log.warn({ sysctl: BE_LIBERAL }, "no such sysctl: is nf_conntrack loaded?");
    return;
  }
  if (before === "1") return;
  const saved = state.read();
  state.write({ ...saved, sysctls: { [BE_LIBERAL]: before, ...saved.sysctls } });
  writeSysctl(BE_LIBERAL, "1");
  log.debug({ sysctl: BE_LIBERAL, before }, "set to 1");
}
