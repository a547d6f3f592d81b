import type { Logger } from "pino";
import { errorMessage } from "../errors.js";
import type { BpfProgram } from "../native/index.js";
import { announcement } from "../parents/announcement.js";
import { skbContext } from "./skb_context.js";
import type { PlacedEndpoint } from "./slots.js";

/** Tells a parent's link of containers that are announced, each once in a daemon's life. */
export class Announcer {
  #told = new Set<string>();

  /** @param program parent_announce */
  constructor(
    private readonly program: BpfProgram,
    private readonly log: Logger,
  ) {}

  /** To be called once the programs answer for them. What can't be sent is told in the log: who asks has an answer all the same. */
  tell(placed: readonly PlacedEndpoint[]): void {
    const now = new Set<string>();
    for (const { planned, endpoint } of placed) {
      for (const ip of planned.parent === undefined ? [] : Object.values(planned.ip)) {
        if (!ip?.announced) continue;
        const key = `${endpoint.generation} ${ip.address}`;
        now.add(key);
        if (!this.#told.has(key)) this.#send(planned.bridgeIfindex, announcement(ip.address, planned.mac));
      }
    }
    this.#told = now;
  }

  #send(ifindex: number, data: Buffer): void {
    try {
      this.program.testRun({ data, context: skbContext(ifindex) });
    } catch (error) {
      this.log.debug({ ifindex, error: errorMessage(error) }, "an address could not be announced");
    }
  }
}
