// tcpdump in a namespace.

import type { Disposers } from "./disposers.js";
import type { Namespace } from "./namespace.js";
import type { Background } from "./process.js";
import { sleep } from "./process.js";

/** A running capture. */
export class Capture {
  private constructor(private readonly tcpdump: Background) {}

  /**
   * Starts capturing; returns when packets are seen.
   * @param filter in tcpdump's language, for instance "udp port 53"
   * @param headersOnly where many packets come at once: room for whole ones is soon full, and the rest is not seen
   */
  static async start(
    namespace: Namespace,
    options: { device?: string; filter?: string; headersOnly?: boolean; disposers: Disposers },
  ): Promise<Capture> {
    const { device = "any", filter = "", headersOnly = false, disposers } = options;
    const flags = [
      "-i",
      device,
      "-nn",
      "-l",
      "-U",
      "-tt",
      "-v",
      "--immediate-mode",
      ...(headersOnly ? ["-s", "128"] : []),
    ];
    const tcpdump = namespace.spawn(["tcpdump", ...flags, ...(filter ? [filter] : [])], { disposers });
    await tcpdump.waitFor(/listening on/, { stream: "stderr" });
    return new Capture(tcpdump);
  }

  /** What tcpdump printed so far: one packet starts at every line that begins with a time. */
  get packets(): string[] {
    return this.tcpdump.stdout.split(/\n(?=\d+\.\d+ )/).filter((text) => text.trim());
  }

  /** Ends the capture and returns the packets. */
  async stop(): Promise<string[]> {
    await sleep(100); // What has just arrived is still on its way through tcpdump.
    await this.tcpdump.stop("SIGINT");
    return this.packets;
  }
}
