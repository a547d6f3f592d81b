import { type Metric as PromMetric, Registry } from "prom-client";
import type { Metric } from "./metric.js";

/** A label's values, one for each name of the metric. */
export type LabelValues<L extends readonly string[]> = { readonly [I in keyof L]: string };

/** Nothing that people call a container is longer; what is longer is not meant to be read. */
const LONGEST_VALUE = 200;
/** Samples that are made text in one go. */
const CHUNK = 500;

type Sample = { metricName: string; labels: Record<string, string>; value: number };

/**
 * The samples of some metrics, and their text in Prometheus' text format (version 0.0.4). Made anew for every scrape, so
 * that nothing of an earlier one is left.
 *
 * prom-client writes the text, but holds no samples: its gauges and counters know their series by a sorted and joined copy of
 * the labels, and are written all in one go; 8,000 series (a thousand containers' packets and bytes) held up everything
 * else for 80 to 100 ms.
 */
export class Exposition {
  readonly #series: ReadonlyMap<Metric, Map<string, Sample>>;

  /** @param metrics what may be added; they appear in this order, those without samples not at all */
  constructor(metrics: readonly Metric[]) {
    this.#series = new Map(metrics.map((metric) => [metric, new Map()]));
  }

  /**
   * Adds a sample; to the one before where the labels are the same, so that no series is there twice.
   * @param metric one of those that were announced
   * @param values of its labels, in their order; what is longer than 200 characters is cut
   * @param more labels that are not of the metric's definition
   * @throws Error for a metric that was not announced
   */
  add<L extends readonly string[]>(
    metric: Metric<L>,
    values: LabelValues<L>,
    value: number,
    more?: readonly (readonly [string, string])[],
  ): void {
    this.#add(metric, metric.name, values, value, more);
  }

  /**
   * Adds a histogram of a series.
   * @param bounds upper bounds of the buckets, ascending, without the infinite one
   * @param counts how many were in each bucket alone (not below its bound), the infinite one last
   * @param sum of all that was observed, in the metric's unit
   */
  addHistogram<L extends readonly string[]>(
    metric: Metric<L>,
    values: LabelValues<L>,
    { bounds, counts, sum }: { bounds: readonly number[]; counts: readonly number[]; sum: number },
  ): void {
    let below = 0;
    for (const [index, count] of counts.entries()) {
      below += count;
      const le = index < bounds.length ? String(bounds[index]) : "+Inf";
      this.#add(metric, `${metric.name}_bucket`, values, below, [["le", le]]);
    }
    this.#add(metric, `${metric.name}_sum`, values, sum);
    this.#add(metric, `${metric.name}_count`, values, below);
  }

  #add(
    metric: Metric,
    metricName: string,
    values: readonly string[],
    value: number,
    more: readonly (readonly [string, string])[] = [],
  ): void {
    const series = this.#series.get(metric);
    if (series === undefined) throw new Error(`${metric.name} is none of this collector's metrics`);
    let key = metricName;
    for (const one of values) key += `\0${one}`;
    for (const [, one] of more) key += `\0${one}`;
    const same = series.get(key);
    if (same === undefined)
      series.set(key, { metricName, labels: labelled(metric.labels, values, more), value });
    else same.value += value;
  }

  /** The text, piece by piece. */
  async *text(): AsyncGenerator<string> {
    for (const [metric, series] of this.#series) {
      const samples = [...series.values()];
      for (let at = 0; at < samples.length; at += CHUNK) {
        const text = await written(metric, samples.slice(at, at + CHUNK));
        yield at === 0 ? text : withoutHead(text);
      }
    }
  }
}

function labelled(
  names: readonly string[],
  values: readonly string[],
  more: readonly (readonly [string, string])[],
): Record<string, string> {
  const labels: Record<string, string> = {};
  for (let i = 0; i < names.length; i++) labels[names[i] ?? ""] = (values[i] ?? "").slice(0, LONGEST_VALUE);
  for (const [name, value] of more) labels[name] = value.slice(0, LONGEST_VALUE);
  return labels;
}

/** HELP and TYPE, then a line for each sample. */
async function written({ name, help, type }: Metric, values: Sample[]): Promise<string> {
  const registry = new Registry();
  // All that a registry asks a metric for to write it.
  const metric = { name, get: async () => ({ name, help, type, values }) };
  registry.registerMetric(metric as unknown as PromMetric);
  return `${await registry.getSingleMetricAsString(name)}\n`;
}

/** Without the lines of HELP and TYPE. */
function withoutHead(text: string): string {
  return text.slice(text.indexOf("\n", text.indexOf("\n") + 1) + 1);
}
