// Runs the workloads over the variants, interleaved: every round measures each variant once, and every other round in the opposite
// order, so that drift meets all alike.

import type { EngineKind } from "../test/lab/lib/index.js";
import { asTable, type Row, type Sample, summarise } from "./report.js";
import { createStage, type Stage, type Variant } from "./stage.js";
import { type Workload, workloads } from "./workloads.js";

/** What to run. */
export interface BenchOptions {
  readonly kind: EngineKind;
  readonly rounds: number;
  /** Of every single measurement. */
  readonly seconds: number;
  readonly variants: readonly Variant[];
  /** Called before every measurement. */
  readonly progress: (text: string) => void;
}

/** What came out. */
export interface BenchResult {
  readonly engine: EngineKind;
  readonly rounds: number;
  readonly rows: readonly Row[];
  readonly samples: readonly Sample[];
}

/** Brings a lab up, measures, takes it down. */
export async function bench(options: BenchOptions): Promise<BenchResult> {
  const { kind, rounds, variants, progress } = options;
  progress(`engine ${kind} and its containers`);
  const stage = await createStage(kind);
  const samples: Sample[] = [];
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const variant of round % 2 === 1 ? variants : variants.toReversed()) {
        progress(`round ${round} of ${rounds}, ${variant}`);
        await stage.become(variant);
        for (const workload of workloads)
          samples.push(await measure(stage, workload, variant, round, options.seconds));
      }
    }
  } finally {
    await stage.lab.dispose();
  }
  return { engine: kind, rounds, rows: summarise(workloads, variants, samples), samples };
}

async function measure(
  stage: Stage,
  workload: Workload,
  variant: Variant,
  round: number,
  seconds: number,
): Promise<Sample> {
  const before = variant === "fairway" ? await stage.counted() : undefined;
  const value = await workload.measure(stage, variant, seconds);
  const sample = { round, workload: workload.name, variant, value };
  if (!before) return sample;
  const after = await stage.counted();
  const fast = after.fast - before.fast;
  return { ...sample, fastShare: fast / (fast + after.slow - before.slow) };
}

export { asTable };
