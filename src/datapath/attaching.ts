import type { Logger } from "pino";
import { errorMessage } from "../errors.js";
import type { Attachment, Attachments } from "./links.js";

/** For how long programs are attached before others get a turn. */
const TURN_MS = 10;
/** The same while the engine's answers come in: as long as it takes for those that it has been asked for. */
const TURN_AHEAD_MS = 4;

/** Attaches programs in turns between which others run. */
export class Attaching {
  #ahead: Promise<number> = Promise.resolve(0);
  #closed = false;

  constructor(
    private readonly attachments: Attachments,
    private readonly log: Logger,
  ) {}

  /**
   * Attaches what is missing.
   * @returns how many: fewer where devices have gone meanwhile, whose events bring the next pass
   * @throws NativeError the first failure, when everything else is attached
   */
  attach(missing: readonly Attachment[]): Promise<number> {
    return this.#attach(missing, TURN_MS);
  }

  /** Begins to attach what is going to be wanted, and does not wait for it. What can't be attached is left to attach(). */
  ahead(likely: readonly Attachment[]): void {
    const present = this.attachments.list();
    this.#ahead = Promise.all([
      this.#ahead,
      this.#attach(missingOf(likely, present), TURN_AHEAD_MS).catch(() => 0),
    ]).then(([before, now]) => before + now);
  }

  /** Waits until nothing is under way. @returns how many ahead() has attached since this was last asked */
  async settled(): Promise<number> {
    const attached = await this.#ahead;
    this.#ahead = Promise.resolve(0);
    return attached;
  }

  /** Nothing is attached from now on. */
  close(): void {
    this.#closed = true;
  }

  async #attach(missing: readonly Attachment[], turnMs: number): Promise<number> {
    if (missing.length === 0) return 0;
    let attached = 0;
    let failure: unknown;
    await this.attachments.series(async () => {
      for (let at = 0; at < missing.length && !this.#closed; ) {
        const until = performance.now() + turnMs;
        this.attachments.together(() => {
          for (; at < missing.length && performance.now() < until; at++) {
            const attachment = missing[at] as Attachment;
            try {
              // False: the device went away meanwhile.
              if (this.attachments.attach(attachment)) attached++;
            } catch (error) {
              this.log.error({ ...attachment, error: errorMessage(error) }, "program could not be attached");
              failure ??= error;
            }
          }
        });
        if (at < missing.length) await new Promise((resolve) => setImmediate(resolve));
      }
    });
    if (failure !== undefined) throw failure;
    return attached;
  }
}

/** Those that are wanted and not present. */
export function missingOf(wanted: readonly Attachment[], present: readonly Attachment[]): Attachment[] {
  const there = new Set(present.map(attachmentKey));
  return wanted.filter((attachment) => !there.has(attachmentKey(attachment)));
}

/** Names an attachment. */
export function attachmentKey({ program, ifindex }: Attachment): string {
  return `${program}-${ifindex}`;
}
