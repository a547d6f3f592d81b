// Runs the workloads over the variants. Two hosts stand side by side, with an engine each and the same servers: one with
// fairway, one without, where the `host` variant's servers are too (so that it has Docker's rules loaded). Nothing has to be
// switched between two measurements, which can be short and interleaved: in every round and for every workload the variants
// follow each other directly, in an order that rotates.

import { cpus, release } from "node:os";
import type { EngineKind } from "../test/lab/lib/index.js";
import { asTable, type Row, type Sample, summarise, type Variant } from "./report.js";
import { type Seat, Stage } from "./stage.js";
import { type Workload, workloads } from "./workloads.js";

/** What to run. */
export interface BenchOptions {
  readonly kind: EngineKind;
  readonly rounds: number;
  /** Of every single measurement. */
  readonly seconds: number;
  readonly variants: readonly Variant[];
  /** Names of workloads; undefined: all. */
  readonly only?: readonly string[] | undefined;
  /** Every namespace handles its packets on its own core. */
  readonly ownCores: boolean;
  /** Called before every measurement. */
  readonly progress: (text: string) => void;
}

/** What came out. */
export interface BenchResult {
  readonly engine: EngineKind;
  readonly kernel: string;
  readonly cpu: string;
  readonly cores: number;
  readonly ownCores: boolean;
  readonly rounds: number;
  readonly seconds: number;
  readonly rows: readonly Row[];
  readonly samples: readonly Sample[];
}

/** Brings the hosts up, measures, takes them down. */
export async function bench(options: BenchOptions): Promise<BenchResult> {
  const { kind, rounds, variants, progress } = options;
  const chosen = choose(options.only);
  const stages: Stage[] = [];
  const bringUp = async (name: string) => {
    progress(`${name}: engine ${kind} and its containers`);
    const stage = await Stage.create(options);
    stages.push(stage);
    return stage;
  };
  try {
    const plain = await bringUp("host without fairway");
    const seats = new Map<Variant, Seat>([
      ["docker", plain.seat("container")],
      ["host", plain.seat("host")],
    ]);
    if (variants.includes("fairway")) {
      const stage = await bringUp("host with fairway");
      await stage.startFairway();
      seats.set("fairway", stage.seat("container"));
    }
    const seatOf = (variant: Variant) => {
      const seat = seats.get(variant);
      if (!seat) throw new Error(`no such variant: ${variant}`);
      return seat;
    };
    // A first round warms up and is not counted; it tells the share of the fast path.
    const fastShares = new Map<string, number>();
    for (const workload of chosen) {
      progress(`warm-up, ${workload.name}`);
      for (const variant of variants) {
        const seat = seatOf(variant);
        const share = await seat.stage.fastShare(() => workload.run(seat, 1));
        if (share !== undefined) fastShares.set(workload.name, share);
      }
    }
    const samples: Sample[] = [];
    for (let round = 0; round < rounds; round++) {
      for (const workload of chosen) {
        progress(`round ${round + 1} of ${rounds}, ${workload.name}`);
        for (const [index] of variants.entries()) {
          const variant = variants[(index + round) % variants.length] ?? "host";
          const values = await workload.run(seatOf(variant), options.seconds);
          samples.push({ round: round + 1, workload: workload.name, variant, values });
        }
      }
    }
    return {
      engine: kind,
      kernel: release(),
      cpu: cpus()[0]?.model ?? "",
      cores: cpus().length,
      ownCores: options.ownCores,
      rounds,
      seconds: options.seconds,
      rows: summarise(chosen, variants, samples, fastShares),
      samples,
    };
  } finally {
    for (const stage of stages.toReversed()) await stage.lab.dispose();
  }
}

function choose(only: readonly string[] | undefined): readonly Workload[] {
  for (const name of only ?? [])
    if (!workloads.some((workload) => workload.name === name))
      throw new Error(`no workload ${name}: ${workloads.map((workload) => workload.name).join(", ")}`);
  return workloads.filter(({ name }) => !only || only.includes(name));
}

export { asTable };
