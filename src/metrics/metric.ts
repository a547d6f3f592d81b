/** What is said of a metric before there is a figure: /metrics and docs/metrics.md are both made of this. */

export type MetricType = "counter" | "gauge" | "histogram";

/** What one is one of; "none" for figures that are always 1 or 0. */
export type Unit =
  | "packets"
  | "bytes"
  | "seconds"
  | "connections"
  | "entries"
  | "sockets"
  | "events"
  | "passes"
  | "changes"
  | "runs"
  | "writes"
  | "programs"
  | "containers"
  | "endpoints"
  | "networks"
  | "ports"
  | "targets"
  | "descriptors"
  | "warnings"
  | "none";

/** A metric. `L` are its labels' names in the order in which their values are given. */
export interface Metric<L extends readonly string[] = readonly string[]> {
  readonly name: string;
  readonly type: MetricType;
  readonly unit: Unit;
  /** One line; also the metric's HELP. */
  readonly help: string;
  readonly labels: L;
  /** In words: labels that depend on the configuration. */
  readonly moreLabels?: string;
}

type Words<L extends readonly string[]> = Omit<Metric<L>, "type" | "labels"> & { readonly labels?: L };

/** A figure that only grows while what it counts lives; its name ends in _total. */
export function counter<const L extends readonly string[] = readonly []>(words: Words<L>): Metric<L> {
  return made("counter", words);
}

/** A figure that comes and goes. */
export function gauge<const L extends readonly string[] = readonly []>(words: Words<L>): Metric<L> {
  return made("gauge", words);
}

/** How often a figure was in which range. */
export function histogram<const L extends readonly string[] = readonly []>(words: Words<L>): Metric<L> {
  return made("histogram", words);
}

function made<L extends readonly string[]>(type: MetricType, words: Words<L>): Metric<L> {
  return { type, ...words, labels: words.labels ?? ([] as unknown as L) };
}
