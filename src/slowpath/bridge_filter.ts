import { execFile } from "node:child_process";
import type { Logger } from "pino";
import type { StateFile } from "../datapath/state_file.js";
import { setSysctl } from "../datapath/sysctls.js";

/**
 * Has bridged packets meet the table as well, as the engine does for networks whose containers are not to reach each other.
 * @param state where it is written down what was before
 */
export async function filterBridged(state: StateFile, log: Logger): Promise<void> {
  await new Promise<void>((resolve) => {
    execFile("modprobe", ["-q", "br_netfilter"], { timeout: 10_000 }, () => resolve());
  });
  for (const family of ["iptables", "ip6tables"])
    setSysctl(state, `net.bridge.bridge-nf-call-${family}`, "1", log);
}
