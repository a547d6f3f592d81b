import type { EngineAddress } from "../docker/address.js";
import { EngineClient, type EngineEvent, type EngineVersion } from "../docker/client.js";
import { Inventory } from "../docker/inventory.js";
import type { EngineNetwork, EngineState } from "../docker/model.js";
import { EngineWatch } from "./engine_watch.js";
import type { DaemonDeps, EngineStatus } from "./types.js";

export interface EngineSideCallbacks {
  /** There may be something new to see with look(), for this reason. */
  changed(reason: "start" | "reconnect" | "events", urgent: boolean): void;
  /** Something that was looked at is other than it was. */
  news(): void;
}

/** The engine as the daemon knows it: asked at the start, followed by its events, and held on to while it is gone. */
export class EngineSide {
  readonly #client: EngineClient;
  readonly #inventory: Inventory;
  readonly #watch: EngineWatch;
  readonly #abort = new AbortController();
  #version: EngineVersion | undefined;
  #connected = false;
  #error: string | undefined;
  #disconnects = 0;
  /** What the last pass that succeeded was made of. */
  #held: EngineState | undefined;

  constructor(
    address: EngineAddress,
    private readonly callbacks: EngineSideCallbacks,
    private readonly deps: Pick<DaemonDeps, "log" | "observer">,
  ) {
    this.#client = new EngineClient(address);
    this.#inventory = new Inventory(this.#client, () => callbacks.news(), this.#abort.signal);
    const watched = {
      connected: (engine: EngineVersion) => this.#onConnected(engine),
      disconnected: (why: string) => this.#onDisconnected(why),
      event: (event: EngineEvent | undefined) => this.#onEvent(event),
    };
    this.#watch = new EngineWatch(this.#client, watched, deps.log);
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** Asks whether it is there. @throws UserError where it is not, or can't be used */
  async negotiate(): Promise<void> {
    this.#version = await this.#client.negotiate(this.#abort.signal);
  }

  /** Subscribes to its events, and keeps that up. @throws as negotiate() */
  watch(): Promise<void> {
    return this.#watch.start();
  }

  /**
   * The engine's state; while it is gone, what was held of it.
   * @param listed told of the networks when these are known, where the rest takes longer
   * @throws what its lists throw, and Error where it was never seen
   */
  async look(listed: (networks: readonly EngineNetwork[]) => void): Promise<EngineState> {
    if (this.#connected && this.#version !== undefined) return this.#inventory.look(this.#version, listed);
    if (this.#held === undefined) throw new Error("the engine has not been seen yet");
    return this.#held;
  }

  /** The datapath is as this state says. */
  hold(state: EngineState): void {
    this.#held = state;
  }

  /** Looks beside the passes for what no event has told. */
  routine(): void {
    if (this.#connected) this.#inventory.routine();
  }

  status(): EngineStatus {
    return {
      connected: this.#connected,
      address: this.#client.address.display,
      version: this.#version?.version,
      apiVersion: this.#version?.apiVersion,
      disconnects: this.#disconnects,
      error: this.#connected ? undefined : this.#error,
    };
  }

  /** Ends what is being asked. */
  abort(): void {
    this.#abort.abort();
  }

  async close(): Promise<void> {
    this.abort();
    await this.#watch.stop();
    this.#client.close();
  }

  #onConnected(engine: EngineVersion): void {
    this.#version = engine;
    this.#connected = true;
    this.#error = undefined;
    this.deps.observer?.engineConnected?.(true);
    this.#inventory.mark(undefined);
    this.callbacks.changed(this.#held === undefined ? "start" : "reconnect", true);
  }

  #onDisconnected(why: string): void {
    this.#error = why;
    if (!this.#connected) return;
    this.#connected = false;
    this.#disconnects++;
    this.deps.observer?.engineConnected?.(false);
  }

  #onEvent(event: EngineEvent | undefined): void {
    if (event !== undefined) this.deps.observer?.engineEvent?.(event.type, event.action);
    // What there is to do about it, if anything, shows when the engine has answered.
    if (event?.containerId !== undefined) this.#inventory.mark(event.containerId);
    else if (event?.type === "network") this.#inventory.markNetworks();
    else {
      this.#inventory.mark(undefined);
      this.callbacks.changed("events", false);
    }
  }
}
