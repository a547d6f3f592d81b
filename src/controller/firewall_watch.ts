import { lookAtFirewall, usesLegacyTables } from "../host/firewall.js";
import type { EngineTraces } from "../host/firewall_rules.js";
import type { FirewallState } from "../host/state.js";
import { NetMonitor } from "../native/index.js";

/** The engine writes rules one by one; a network is listed when all of its own are there. */
const QUIET_MS = 100;
const MOST_MS = 500;
/**
 * A user's rule is to hold within a second, also when others were written just before it. So reading, which takes tens of
 * milliseconds, comes again as soon as it can without taking more than this part of the time; where there are rules by the
 * thousand, at the latest when this is over.
 */
const READING_SHARE = 0.2;
const APART_MOST_MS = 1_000;
/** The engine takes a network off its list, and its bridge away, before its last rules are gone. */
const LINGER_MS = 10_000;
/** Nobody tells of changes in the kernel's old tables. */
const LEGACY_MS = 5_000;

/** Knows what the firewall's rules mean for the datapath, and when they have to be looked at again. */
export class FirewallWatch {
  readonly #monitor: NetMonitor;
  readonly #poll: NodeJS.Timeout;
  #timer: NodeJS.Timeout | undefined;
  /** The first change that has not been looked at. */
  #changedAt: number | undefined;
  #known: { of: string; state: FirewallState } | undefined;
  /** Who asks for the same meanwhile gets the same. */
  #reading: { of: string; changes: number; state: Promise<FirewallState> } | undefined;
  /** When it is time to read again at the earliest. */
  #readNext = Number.NEGATIVE_INFINITY;
  #changes = 0;
  readonly #bridges = new Lingering(LINGER_MS);
  readonly #snatAddresses = new Lingering(LINGER_MS);

  /** @param changed there may be something new to see with look() */
  constructor(
    private readonly changed: () => void,
    legacyMs = LEGACY_MS,
  ) {
    this.#monitor = new NetMonitor(
      ["firewall"],
      () => this.#lookSoon(),
      () => this.#lookSoon(),
    );
    this.#poll = setInterval(() => {
      if (usesLegacyTables()) this.#lookSoon();
    }, legacyMs);
  }

  /** The rules as they are, read anew only if they, or what they are judged by, may have changed since. */
  async look(listed: EngineTraces, uplinks: ReadonlySet<string>): Promise<FirewallState> {
    const engine = {
      ...listed,
      bridges: this.#bridges.with(listed.bridges),
      snatAddresses: this.#snatAddresses.with(listed.snatAddresses),
    };
    const of = [engine.bridges, engine.hostBridges, engine.snatAddresses, uplinks]
      .map((s) => [...s].sort().join())
      .join(";");
    if (this.#known?.of === of) return this.#known.state;
    const under = this.#reading;
    if (under?.of === of && under.changes === this.#changes) return under.state;
    const reading = { of, changes: this.#changes, state: this.#read(of, engine, uplinks) };
    this.#reading = reading;
    try {
      return await reading.state;
    } finally {
      if (this.#reading === reading) this.#reading = undefined;
    }
  }

  async #read(of: string, engine: EngineTraces, uplinks: ReadonlySet<string>): Promise<FirewallState> {
    const began = performance.now();
    const changes = this.#changes;
    const state = await lookAtFirewall(engine, uplinks);
    const took = performance.now() - began;
    this.#readNext = began + Math.min(took / READING_SHARE, APART_MOST_MS);
    // What changed while they were being read may not be in it.
    if (changes === this.#changes) this.#known = { of, state };
    return state;
  }

  /** The next look() reads anew. */
  forget(): void {
    this.#changes++;
    this.#known = undefined;
  }

  close(): void {
    clearTimeout(this.#timer);
    clearInterval(this.#poll);
    this.#monitor.close();
  }

  #lookSoon(): void {
    const now = performance.now();
    this.#changedAt ??= now;
    const quiet = Math.min(now + QUIET_MS, this.#changedAt + MOST_MS);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => {
        this.#changedAt = undefined;
        this.forget();
        this.changed();
      },
      Math.max(now, quiet, this.#readNext) - now,
    );
  }
}

/** What was there a short while ago. */
class Lingering {
  /** With when each was last there, ms. */
  readonly #seen = new Map<string, number>();

  constructor(private readonly lingerMs: number) {}

  /** What is there now, and what lingers. */
  with(now: ReadonlySet<string>): ReadonlySet<string> {
    const time = performance.now();
    for (const name of now) this.#seen.set(name, time);
    for (const [name, at] of this.#seen) if (time - at > this.lingerMs) this.#seen.delete(name);
    return new Set(this.#seen.keys());
  }
}
