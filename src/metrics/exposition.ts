import { type Metric as PromMetric, Registry } from "prom-client";
import { Lines } from "./lines.js";
import type { Metric } from "./metric.js";
import { SeriesTexts } from "./series_texts.js";

/** A label's values, one for each name of the metric. */
export type LabelValues<L extends readonly string[]> = { readonly [I in keyof L]: string };

/** Nothing that people call a container is longer; what is longer is not meant to be read. */
const LONGEST_VALUE = 200;
/** New lines that are made text in one go: a millisecond's worth. */
const FRESH_LINES = 250;
/** In place of a label's name: what follows is appended to the metric's name. */
const SUFFIX = "";
const NONE: readonly (readonly [string, string])[] = [];

/** As prom-client takes it. */
interface Sample {
  metricName: string;
  labels: Record<string, string>;
  value: number;
}

/** One metric: its head, and its lines. */
class Family {
  /** Each is the metric's label values, then names and values of labels beyond those. */
  #lines: Lines | undefined;
  #head: Buffer | undefined;

  constructor(
    private readonly metric: Metric,
    private readonly texts: SeriesTexts,
  ) {}

  begin(): void {
    this.#lines?.begin();
  }

  add(labels: readonly string[], value: number): void {
    this.#lines ??= new Lines(Buffer.from(this.metric.name), labels.length, this.texts);
    this.#lines.add(areShort(labels) ? labels : labels.map(cut), value);
  }

  async *text(): AsyncGenerator<Buffer | undefined> {
    const lines = this.#lines;
    if (lines === undefined) return;
    const fresh = lines.fresh();
    for (let at = 0; at < fresh.length; at += FRESH_LINES) {
      const samples = fresh.slice(at, at + FRESH_LINES).map((labels) => sample(this.metric, labels));
      lines.addFresh(Buffer.from(withoutHead(await written(this.metric, samples))));
      yield;
    }
    if (lines.count > 0) {
      this.#head ??= Buffer.from(await written(this.metric, []));
      yield this.#head;
    }
    yield* lines.write();
  }
}

/**
 * The samples of some metrics, and their text in Prometheus' text format (version 0.0.4). prom-client writes each series once, with the
 * figure 0; as long as scrapes have the series, only its figure is written anew. Left alone with 8,000 series (a thousand containers'
 * packets and bytes), prom-client holds up everything else for 80 to 100 ms, at every scrape.
 */
export class Exposition {
  readonly #families: ReadonlyMap<Metric, Family>;

  /**
   * @param metrics what may be added; they appear in this order, those without samples not at all
   * @param texts where the series' texts are kept, those of other expositions as well
   */
  constructor(metrics: readonly Metric[], texts = new SeriesTexts()) {
    this.#families = new Map(metrics.map((metric) => [metric, new Family(metric, texts)]));
  }

  /** Another scrape begins, without any sample. */
  begin(): void {
    for (const family of this.#families.values()) family.begin();
  }

  /**
   * Adds a sample; to the one before where the labels are the same, so that no series is there twice. Cheapest where samples come in the
   * same order at each scrape.
   * @param metric one of those that were announced
   * @param values of its labels, in their order; what is longer than 200 characters is cut
   * @param more labels that are not of the metric's definition; as many for all samples of a metric
   * @throws Error for a metric that was not announced
   */
  add<L extends readonly string[]>(
    metric: Metric<L>,
    values: LabelValues<L>,
    value: number,
    more = NONE,
  ): void {
    this.#family(metric).add(more.length === 0 ? values : [...values, ...more.flat()], value);
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
    const family = this.#family(metric);
    let below = 0;
    for (const [index, count] of counts.entries()) {
      below += count;
      const le = index < bounds.length ? String(bounds[index]) : "+Inf";
      family.add([...values, SUFFIX, "_bucket", "le", le], below);
    }
    family.add([...values, SUFFIX, "_sum", SUFFIX, ""], sum);
    family.add([...values, SUFFIX, "_count", SUFFIX, ""], below);
  }

  #family(metric: Metric): Family {
    const family = this.#families.get(metric);
    if (family === undefined) throw new Error(`${metric.name} is none of this collector's metrics`);
    return family;
  }

  /** The text, piece by piece, each good until the next one; undefined: a step on the way to that. */
  async *text(): AsyncGenerator<Buffer | undefined> {
    for (const family of this.#families.values()) yield* family.text();
  }
}

/** Each sample of each scrape comes here: for..of makes an object for each label. */
function areShort(labels: readonly string[]): boolean {
  for (let i = 0; i < labels.length; i++) if ((labels[i] as string).length > LONGEST_VALUE) return false;
  return true;
}

function cut(value: string): string {
  return value.slice(0, LONGEST_VALUE);
}

/** With the figure 0. */
function sample({ name, labels: names }: Metric, values: readonly string[]): Sample {
  let metricName = name;
  const labels: Record<string, string> = {};
  for (const [index, label] of names.entries()) labels[label] = values[index] ?? "";
  for (let i = names.length; i < values.length; i += 2) {
    const [label = "", value = ""] = [values[i], values[i + 1]];
    if (label === SUFFIX) metricName += value;
    else labels[label] = value;
  }
  return { metricName, labels, value: 0 };
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
