// Medians, and ratios with their quartiles. Ratios are taken within a round, so that a machine that is slow for a while is slow
// for both.

import Table from "cli-table3";
import { median, quantile } from "simple-statistics";
import type { Measure, Workload } from "./workloads.js";

/** Whose path the packets take. `host`: no container network at all, the server in the host's own namespace. */
export const variants = ["docker", "fairway", "host"] as const;
export type Variant = (typeof variants)[number];

/** What one round measured of one variant. */
export interface Sample {
  readonly round: number;
  readonly workload: string;
  readonly variant: Variant;
  /** In the order of the workload's measures. */
  readonly values: readonly number[];
}

/** A median and the quartiles of the rounds. */
export interface Spread {
  readonly median: number;
  readonly lower: number;
  readonly upper: number;
}

/** What is reported of one measure. */
export interface Row extends Omit<Measure, "name"> {
  readonly measure: string;
  readonly values: Readonly<Partial<Record<Variant, Spread>>>;
  /** By "fairway/host" and so on, of the same round. */
  readonly ratios: Readonly<Record<string, Spread>>;
  readonly missed: readonly string[];
  /** With fairway: the share of the containers' packets that took the fast path. */
  readonly fastShare?: number;
}

/** Of some figures. */
export function spread(values: readonly number[]): Spread {
  const all = [...values];
  return { median: median(all), lower: quantile(all, 0.25), upper: quantile(all, 0.75) };
}

/** Which ratios there are between the variants that were run. */
export function pairs(run: readonly Variant[]): [Variant, Variant][] {
  const all: [Variant, Variant][] = [
    ["fairway", "host"],
    ["fairway", "docker"],
    ["host", "docker"],
  ];
  return all.filter(([a, b]) => run.includes(a) && run.includes(b));
}

/** Sums the samples up. */
export function summarise(
  workloads: readonly Workload[],
  run: readonly Variant[],
  samples: readonly Sample[],
  fastShares: ReadonlyMap<string, number>,
): Row[] {
  return workloads.flatMap((workload) => {
    const fastShare = fastShares.get(workload.name);
    return workload.measures.map((measure, index) => {
      const of = (variant: Variant) =>
        samples
          .filter((sample) => sample.workload === workload.name && sample.variant === variant)
          .sort((a, b) => a.round - b.round)
          .map(({ values }) => values[index] ?? Number.NaN);
      const values = Object.fromEntries(run.map((variant) => [variant, spread(of(variant))]));
      const ratios: Record<string, Spread> = {};
      for (const [a, b] of pairs(run)) {
        const base = of(b);
        ratios[`${a}/${b}`] = spread(of(a).map((value, round) => value / (base[round] ?? Number.NaN)));
      }
      const { name, ...rest } = measure;
      const missed = Object.entries(measure.targets ?? {})
        .filter(([ratio, target]) => misses(measure, ratios[ratio]?.median, target))
        .map(([ratio]) => ratio);
      const share = index === 0 && fastShare !== undefined ? { fastShare } : {};
      return { measure: name, ...rest, values, ratios, missed, ...share };
    });
  });
}

function misses({ better }: Measure, value: number | undefined, target: number): boolean {
  if (value === undefined) return false;
  return better === "more" ? value < target : value > target;
}

/** The table for people. */
export function asTable(rows: readonly Row[], run: readonly Variant[], colour: boolean): string {
  const ratios = pairs(run).map((pair) => pair.join("/"));
  const table = new Table({
    head: ["median", "", ...run, ...ratios, "fast path"],
    chars: { mid: "", "left-mid": "", "mid-mid": "", "right-mid": "" },
    ...(colour ? {} : { style: { head: [], border: [] } }),
  });
  for (const row of rows) {
    const value = (variant: Variant) => row.values[variant]?.median.toPrecision(3) ?? "";
    const share = row.fastShare === undefined ? "" : `${(row.fastShare * 100).toFixed(2)} %`;
    table.push([
      row.measure,
      row.unit,
      ...run.map(value),
      ...ratios.map((name) => asRatio(row, name)),
      share,
    ]);
  }
  return table.toString();
}

function asRatio(row: Row, name: string): string {
  const found = row.ratios[name];
  if (!found) return "";
  const text = `${found.median.toFixed(3)} (${found.lower.toFixed(2)} to ${found.upper.toFixed(2)})`;
  const target = row.targets?.[name];
  if (target === undefined) return text;
  const sign = row.better === "more" ? ">=" : "<=";
  return `${text}\n${sign} ${target.toFixed(2)}: ${row.missed.includes(name) ? "missed" : "met"}`;
}
