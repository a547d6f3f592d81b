// A run: chapters of a seed, each from a clean state, until enough packets were played or a difference was found.

import { join } from "node:path";
import { type EngineKind, type Metrics, root } from "../../lab/lib/index.js";
import type { Allowed } from "./allowed.js";
import { sideNames } from "./compare.js";
import { describeArrivals, describeStep } from "./describe.js";
import { Generator } from "./generator.js";
import { Random } from "./random.js";
import { type Difference, type Numbered, type Outcome, Runner } from "./runner.js";
import { type Shrunk, shrink } from "./shrink.js";
import { Side } from "./side.js";
import type { Family } from "./world.js";

export interface FuzzOptions {
  readonly engine: EngineKind;
  readonly proxy: boolean;
  readonly families: readonly Family[];
  readonly seed: number;
  readonly packets: number;
  readonly seconds: number;
  /** However long it takes. */
  readonly atLeast?: number;
  /** The number of the first chapter. */
  readonly chapter: number;
  /** How many differences to find before giving up. */
  readonly differences: number;
  readonly progress: (text: string) => void;
}

export interface Found {
  readonly chapter: number;
  readonly text: string;
  readonly shrunk: Shrunk | undefined;
}

export interface FuzzResult {
  readonly packets: number;
  readonly seconds: number;
  readonly found: readonly Found[];
  readonly allowed: ReadonlyMap<Allowed, number>;
  readonly coverage: Coverage;
}

export interface Coverage {
  readonly fast: number;
  readonly slow: number;
  readonly reasons: ReadonlyMap<string, number>;
}

/** How long a chapter is. */
const chapterSteps = 5000;

/** Two hosts, and what plays on them. */
export class Fuzzer {
  private constructor(readonly runner: Runner) {}

  /** Makes both hosts; what the player is compiled from must have been built (scripts/lib/fuzz-library.mjs). */
  static async create(options: Pick<FuzzOptions, "engine" | "proxy" | "families">): Promise<Fuzzer> {
    const program = join(root, "build/fuzz/player");
    const made = await Promise.allSettled([
      Side.create("docker", options, program, 0),
      Side.create("fairway", options, program, 1),
    ]);
    const [docker, fairway] = made.map((one) => (one.status === "fulfilled" ? one.value : undefined));
    if (docker && fairway) return new Fuzzer(new Runner({ docker, fairway }));
    await Promise.allSettled([docker?.dispose(), fairway?.dispose()]);
    throw made.find((one) => one.status === "rejected")?.reason;
  }

  async dispose(): Promise<void> {
    const { docker, fairway } = this.runner.sides;
    await Promise.allSettled([docker.dispose(), fairway.dispose()]);
  }

  /** Plays a script from a clean state. */
  async replay(steps: readonly Numbered[]): Promise<Outcome> {
    await this.runner.reset();
    return this.runner.play(steps);
  }

  /** Plays a script step by step, and says after each what it caused and what conntrack knows, on both hosts. */
  async trace(steps: readonly Numbered[], say: (text: string) => void): Promise<void> {
    const { runner } = this;
    await runner.reset();
    for (const { step, index, arrivals } of runner.single(steps)) {
      say(describeStep(index, step));
      const caused = await arrivals();
      for (const name of sideNames) {
        say(`    ${name}:`);
        for (const line of describeArrivals(caused[name])) say(`      ${line}`);
        for (const line of await runner.sides[name].connections()) say(`        ${line}`);
      }
    }
  }

  async fuzz(options: FuzzOptions): Promise<FuzzResult> {
    const before = coverage(await this.runner.sides.fairway.metrics());
    const begin = Date.now();
    const allowed = new Map<Allowed, number>();
    const found: Found[] = [];
    let packets = 0;
    let said = begin;
    const elapsed = () => (Date.now() - begin) / 1000;
    const { atLeast = 0 } = options;
    const goesOn = () => packets < atLeast || (packets < options.packets && elapsed() < options.seconds);
    for (let chapter = options.chapter; goesOn(); chapter++) {
      const played: Numbered[] = [];
      await this.runner.reset();
      const outcome = await this.runner.play(script(options, chapter, played));
      packets += outcome.frames;
      for (const [name, count] of outcome.allowed) allowed.set(name, (allowed.get(name) ?? 0) + count);
      const [first] = outcome.differences;
      if (first) {
        found.push(await this.#report(chapter, played, first, options));
        if (found.length >= options.differences) break;
      }
      if (Date.now() - said > 5000) {
        said = Date.now();
        const rate = Math.round(packets / elapsed());
        options.progress(`${packets} packets, ${rate}/s, chapter ${chapter}, ${found.length} differences`);
      }
    }
    const after = coverage(await this.runner.sides.fairway.metrics());
    return { packets, seconds: elapsed(), found, allowed, coverage: minus(after, before) };
  }

  async #report(
    chapter: number,
    played: readonly Numbered[],
    first: Difference,
    options: FuzzOptions,
  ): Promise<Found> {
    options.progress(`chapter ${chapter}: a difference at step ${first.index}: ${first.step.note}`);
    const shrunk = await shrink(this.runner, played, first, options.progress);
    const text = shrunk
      ? tell(shrunk)
      : `not shown again by the same script:\n${tell({ steps: [{ index: first.index, step: first.step }], difference: first })}`;
    return { chapter, text: `seed ${options.seed}, chapter ${chapter}:\n${text}`, shrunk };
  }
}

/** A chapter's steps; all that were played are remembered. */
function* script(options: FuzzOptions, chapter: number, played: Numbered[]): Generator_ {
  const random = new Random(options.seed, chapter);
  const generator = new Generator(random, {
    families: options.families,
    flows: random.pick([4, 16, 48]),
    pauses: random.chance(0.1),
    upheavals: random.chance(0.05),
  });
  for (let index = 0; index < chapterSteps; index++) {
    const numbered = { index, step: generator.next() };
    played.push(numbered);
    yield numbered;
  }
}
type Generator_ = globalThis.Generator<Numbered, void, void>;

/** A difference in words. */
export function tell({ steps, difference }: Shrunk): string {
  const shown = steps.slice(-20);
  const lines = shown.map(({ index, step }) => `  ${describeStep(index, step)}`);
  if (shown.length < steps.length) lines.unshift(`  (${steps.length - shown.length} steps before these)`);
  const side = (name: "docker" | "fairway") => [
    `  ${name}:`,
    ...describeArrivals(difference.effects[name]).map((line) => `    ${line}`),
  ];
  return [...lines, ...side("docker"), ...side("fairway")].join("\n");
}

function coverage(metrics: Metrics): Coverage {
  const sum = (path: string) =>
    metrics.sum("fairway_endpoint_receive_packets_total", { path }) +
    metrics.sum("fairway_endpoint_transmit_packets_total", { path });
  const reasons = new Map<string, number>();
  for (const name of ["fairway_slow_path_packets_total", "fairway_dropped_packets_total"])
    for (const { labels, value } of metrics.find(name)) {
      const reason = labels.reason ?? "?";
      reasons.set(reason, (reasons.get(reason) ?? 0) + value);
    }
  return { fast: sum("fast"), slow: sum("slow"), reasons };
}

function minus(after: Coverage, before: Coverage): Coverage {
  const reasons = new Map(
    [...after.reasons].map(([name, value]) => [name, value - (before.reasons.get(name) ?? 0)]),
  );
  return { fast: after.fast - before.fast, slow: after.slow - before.slow, reasons };
}
