import { setTimeout as sleep } from "node:timers/promises";
import type { DaemonReport, ToldEndpoint } from "../cli/running.js";
import type { Fairway } from "./fairway.js";
import type { Load, LoadMode, LoadResult } from "./load.js";

/** The engine alone, or with fairway on it. */
export type Variant = "docker" | "fairway";
export const modes = ["close", "keep-alive"] as const satisfies LoadMode[];

/** Windows of a variant before the other one has its turn. */
const WINDOWS_A_TURN = 3;

export interface Packets {
  fast: number;
  slow: number;
}

/** Everything measured so far. */
export class Comparison {
  readonly begin = Date.now();
  readonly results: Record<Variant, Record<LoadMode, LoadResult[]>> = {
    docker: { close: [], "keep-alive": [] },
    fairway: { close: [], "keep-alive": [] },
  };
  variant: Variant = "docker";
  /** "switching", while neither is measured. */
  switching = false;
  /** As last read; the counters begin anew whenever fairway is put on, and there are none while it is off. */
  told: DaemonReport | undefined;
  /** Of the turns that are over. */
  readonly #before: Packets = { fast: 0, slow: 0 };

  get windows(): number {
    return this.results.docker.close.length + this.results.fairway.close.length;
  }

  /** Packets to and from the containers in all of fairway's turns. */
  get packets(): Packets {
    const now = count(this.told?.endpoints ?? []);
    return { fast: this.#before.fast + now.fast, slow: this.#before.slow + now.slow };
  }

  get errors(): number {
    const all = Object.values(this.results).flatMap((byMode) => Object.values(byMode).flat());
    return all.reduce((sum, { errors }) => sum + errors, 0);
  }

  /** The counters are about to be removed. */
  turnOver(): void {
    const { fast, slow } = count(this.told?.endpoints ?? []);
    this.#before.fast += fast;
    this.#before.slow += slow;
    this.told = undefined;
  }
}

function count(endpoints: readonly ToldEndpoint[]): Packets {
  const packets = { fast: 0, slow: 0 };
  for (const { receive, transmit } of endpoints) {
    for (const path of ["fast", "slow"] as const) {
      packets[path] += receive[path].packets + transmit[path].packets;
    }
  }
  return packets;
}

export interface CompareOptions {
  load: Load;
  fairway: Fairway;
  signal: AbortSignal;
  /** When to end; undefined: when the signal comes. Both variants have had at least one window by then. */
  seconds: number | undefined;
  /** Called after every change worth showing. */
  show: (comparison: Comparison) => void;
}

/**
 * Measures the two variants in turns, so that whatever else the machine does meets both, until the time is over or the
 * signal comes.
 */
export async function compare(options: CompareOptions): Promise<Comparison> {
  const { signal, fairway, show } = options;
  const comparison = new Comparison();
  const over = () =>
    signal.aborted ||
    (options.seconds !== undefined &&
      Date.now() - comparison.begin >= options.seconds * 1000 &&
      comparison.results.docker.close.length > 0 &&
      comparison.results.fairway.close.length > 0);

  while (!over()) {
    for (let window = 0; window < windowsATurn(options.seconds) && !over(); window++) {
      await measure(comparison, options);
      show(comparison);
    }
    if (over()) break;
    comparison.switching = true;
    show(comparison);
    try {
      await change(comparison, fairway, signal);
    } catch (error) {
      // Waiting for fairway was cut short: what is measured so far still holds.
      if (signal.aborted) break;
      throw error;
    }
    comparison.switching = false;
  }
  return comparison;
}

/** Short demos have short turns, so that both variants are in them. A window takes about two seconds. */
function windowsATurn(seconds: number | undefined): number {
  return seconds === undefined
    ? WINDOWS_A_TURN
    : Math.min(WINDOWS_A_TURN, Math.max(1, Math.floor(seconds / 6)));
}

async function measure(comparison: Comparison, { load, fairway, signal }: CompareOptions): Promise<void> {
  for (const mode of modes) {
    if (signal.aborted) return;
    comparison.results[comparison.variant][mode].push(await load.measure(mode));
  }
  if (comparison.variant === "fairway") comparison.told = await fairway.report();
}

async function change(comparison: Comparison, fairway: Fairway, signal: AbortSignal): Promise<void> {
  if (comparison.variant === "docker") {
    await fairway.start(signal);
    comparison.variant = "fairway";
  } else {
    comparison.turnOver();
    await fairway.remove();
    comparison.variant = "docker";
  }
  // What the switch itself costs is not the path's.
  await sleep(200);
}
