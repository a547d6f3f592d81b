// Medians and ratios with their spread. Ratios are taken within a round, so that a machine that is slow for a while is slow for both.

import Table from "cli-table3";
import { max, median, min } from "simple-statistics";
import type { Variant } from "./stage.js";
import type { Workload } from "./workloads.js";

/** What one round measured. */
export interface Sample {
  readonly round: number;
  readonly workload: string;
  readonly variant: Variant;
  readonly value: number;
  /** With fairway: the share of the containers' packets that it counted on the fast path. */
  readonly fastShare?: number;
}

/** A median and the smallest and largest of the rounds. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** What is reported of one workload. */
export interface Row {
  readonly workload: string;
  readonly unit: string;
  readonly values: Readonly<Partial<Record<Variant, Spread>>>;
  /** Of Docker's own path in the same round. */
  readonly ratios: Readonly<Partial<Record<Variant, Spread>>>;
  readonly fastShare?: number;
}

const spread = (values: number[]): Spread => ({ median: median(values), min: min(values), max: max(values) });

/** Sums the samples up. */
export function summarise(
  workloads: readonly Workload[],
  variants: readonly Variant[],
  samples: readonly Sample[],
): Row[] {
  return workloads.map(({ name, unit }) => {
    const of = (variant: Variant) =>
      samples.filter((sample) => sample.workload === name && sample.variant === variant);
    const base = new Map(of("docker").map(({ round, value }) => [round, value]));
    const values: Partial<Record<Variant, Spread>> = {};
    const ratios: Partial<Record<Variant, Spread>> = {};
    for (const variant of variants) {
      values[variant] = spread(of(variant).map(({ value }) => value));
      if (variant === "docker") continue;
      ratios[variant] = spread(
        of(variant).map(({ round, value }) => value / (base.get(round) ?? Number.NaN)),
      );
    }
    const shares = of("fairway").flatMap(({ fastShare }) => fastShare ?? []);
    return { workload: name, unit, values, ratios, ...(shares.length > 0 && { fastShare: min(shares) }) };
  });
}

/** The table for people. */
export function asTable(rows: readonly Row[], variants: readonly Variant[], colour: boolean): string {
  const others = variants.filter((variant) => variant !== "docker");
  const table = new Table({
    head: ["median", "", ...variants, ...others.map((variant) => `${variant} / docker`), "fast path"],
    ...(colour ? {} : { style: { head: [], border: [] } }),
  });
  for (const row of rows) {
    const value = (variant: Variant) => row.values[variant]?.median.toPrecision(3) ?? "";
    const ratio = (variant: Variant) => {
      const found = row.ratios[variant];
      return found ? `${found.median.toFixed(2)} (${found.min.toFixed(2)} to ${found.max.toFixed(2)})` : "";
    };
    const share = row.fastShare === undefined ? "" : `${(row.fastShare * 100).toFixed(2)} %`;
    table.push([row.workload, row.unit, ...variants.map(value), ...others.map(ratio), share]);
  }
  return table.toString();
}
