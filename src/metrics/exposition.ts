import { type Metric as PromMetric, Registry } from "prom-client";
import { type LabelSet, LabelSets } from "./label_sets.js";
import type { Metric } from "./metric.js";

/** A label's values, one for each name of the metric. */
export type LabelValues<L extends readonly string[]> = { readonly [I in keyof L]: string };

/** Samples that are made text in one go. */
const CHUNK = 250;

/** As prom-client takes it. It remembers the text of `sharedLabels`, and asks for it by the object. */
type Sample = { metricName: string; labels: object; sharedLabels: LabelSet; value: number };

/** All of them are shared ones. */
const NONE = {};

/**
 * The samples of some metrics, and their text in Prometheus' text format (version 0.0.4). Made anew for every scrape, so
 * that nothing of an earlier one is left.
 *
 * prom-client writes the text, but holds no samples: its gauges and counters know their series by a sorted and joined copy of
 * the labels, and are written all in one go; 8,000 series (a thousand containers' packets and bytes) held up everything
 * else for 80 to 100 ms.
 */
export class Exposition {
  /** By the name of the line: a histogram has several. */
  readonly #series: ReadonlyMap<Metric, Map<string, Map<LabelSet, Sample>>>;

  /**
   * @param metrics what may be added; they appear in this order, those without samples not at all
   * @param sets the sets of labels of this scrape and the last one
   */
  constructor(
    metrics: readonly Metric[],
    private readonly sets = new LabelSets(),
  ) {
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
    this.#add(metric, metric.name, this.sets.of(metric.labels, values, more), value);
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
      this.#add(metric, `${metric.name}_bucket`, this.sets.of(metric.labels, values, [["le", le]]), below);
    }
    const labels = this.sets.of(metric.labels, values);
    this.#add(metric, `${metric.name}_sum`, labels, sum);
    this.#add(metric, `${metric.name}_count`, labels, below);
  }

  #add(metric: Metric, metricName: string, sharedLabels: LabelSet, value: number): void {
    const lines = this.#series.get(metric);
    if (lines === undefined) throw new Error(`${metric.name} is none of this collector's metrics`);
    let series = lines.get(metricName);
    if (series === undefined) {
      series = new Map();
      lines.set(metricName, series);
    }
    const same = series.get(sharedLabels);
    if (same === undefined) series.set(sharedLabels, { metricName, labels: NONE, sharedLabels, value });
    else same.value += value;
  }

  /** The text, piece by piece. */
  async *text(): AsyncGenerator<string> {
    for (const [metric, lines] of this.#series) {
      const samples = [...lines.values()].flatMap((series) => [...series.values()]);
      for (let at = 0; at < samples.length; at += CHUNK) {
        const text = await written(metric, samples.slice(at, at + CHUNK));
        yield at === 0 ? text : withoutHead(text);
      }
    }
  }
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
