import type { Logger } from "pino";
import type { EngineClient, EngineEvent, EngineVersion } from "../docker/client.js";
import { errorMessage } from "../errors.js";
import { Backoff, sleep } from "./backoff.js";

export interface EngineWatchCallbacks {
  /** The stream is there: everything is to be looked at anew. */
  connected(engine: EngineVersion): void;
  disconnected(why: string): void;
  /** undefined: an event was lost. */
  event(event: EngineEvent | undefined): void;
}

/** Keeps the event stream up: when it ends, the engine is asked for again and again until it is back. */
export class EngineWatch {
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;

  constructor(
    private readonly client: Pick<EngineClient, "negotiate" | "events" | "address">,
    private readonly callbacks: EngineWatchCallbacks,
    private readonly log: Logger,
    private readonly backoff = new Backoff(100, 10_000),
  ) {}

  /**
   * Connects for the first time, and from then on by itself.
   * @throws UserError when the engine is not there or not usable
   */
  async start(): Promise<void> {
    const { ended } = await this.#connect();
    this.#running = this.#keep(ended);
  }

  async #connect(): Promise<{ ended: Promise<string> }> {
    const engine = await this.client.negotiate(this.#abort.signal);
    const stream = await this.client.events((event) => this.callbacks.event(event), this.#abort.signal);
    this.backoff.reset();
    this.callbacks.connected(engine);
    return stream;
  }

  async #keep(first: Promise<string>): Promise<void> {
    let ended = first;
    for (;;) {
      const why = await ended;
      if (this.#abort.signal.aborted) return;
      this.callbacks.disconnected(why);
      this.log.warn({ engine: this.client.address.display, why }, "engine lost; the datapath stays as it is");
      for (;;) {
        await sleep(this.backoff.next(), this.#abort.signal);
        if (this.#abort.signal.aborted) return;
        try {
          ({ ended } = await this.#connect());
          break;
        } catch (error) {
          this.callbacks.disconnected(errorMessage(error));
          this.log.debug({ error: errorMessage(error) }, "engine still not there");
        }
      }
      this.log.info({ engine: this.client.address.display }, "engine is back");
    }
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }
}
