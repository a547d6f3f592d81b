import { execFile } from "node:child_process";
import type { Logger } from "pino";
import type { StateFile } from "../datapath/state_file.js";
import { setSysctl } from "../datapath/sysctls.js";
import { readSysctl } from "../host/sysctl.js";

/**
 * Has bridged packets meet the table as well, as the engine does for networks whose containers are not to reach each other.
 * @param state where it is written down what was before
 */
export async function filterBridged(state: StateFile, log: Logger): Promise<void> {
  const sysctls = ["iptables", "ip6tables"].map((tool) => `net.bridge.bridge-nf-call-${tool}`);
  if (sysctls.some((name) => readSysctl(name) === undefined)) {
    await new Promise<void>((resolve) => {
      execFile("modprobe", ["-q", "br_netfilter"], { timeout: 10_000 }, () => resolve());
    });
  }
  for (const name of sysctls) setSysctl(state, name, "1", log);
}
