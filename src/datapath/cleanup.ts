import type { Logger } from "pino";

export interface CleanupOptions {
  bpffs: string;
  stateDir: string;
  log: Logger;
}

/** What `cleanup` found and removed. All empty: there was nothing of fairway. */
export interface CleanupReport {
  /** Pinned names: "endpoint_ingress-12", ... */
  links: string[];
  programs: string[];
  maps: string[];
  /** Connections whose conntrack entry was made fit to go on through the kernel. */
  flowsHandedOver: number;
  /** Sysctls put back: "net.netfilter.nf_conntrack_tcp_be_liberal=0", ... */
  sysctls: string[];
  /** Files removed under the state directory. */
  files: string[];
}

/**
 * Takes fairway off the host without breaking a connection: live flows are handed to the kernel's tracker, then links
 * are detached, sysctls put back, pins and state removed. Works without the daemon; a second run finds nothing.
 * @throws UserError when the daemon is running.
 */
export async function cleanup(_options: CleanupOptions): Promise<CleanupReport> {
  throw new Error("not written yet");
}
