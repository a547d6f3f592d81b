// Reading fairway's counters from the text of its /metrics page.

/** One sample: its labels and its value. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** All samples of a page in Prometheus' text format. */
export class Metrics {
  readonly samples: readonly Sample[];

  constructor(text: string) {
    const lines = text.split("\n").filter((line) => line && !line.startsWith("#"));
    this.samples = lines.map((line) => {
      const found = /^([\w:]+)(?:\{(.*)\})?\s+(\S+)/.exec(line);
      if (!found) throw new Error(`not a sample of the Prometheus text format: ${line}`);
      const [, name = "", labels = "", value] = found;
      const pairs = [...labels.matchAll(/([\w]+)="((?:[^"\\]|\\.)*)"/g)];
      return {
        name,
        labels: Object.fromEntries(pairs.map(([, key, text]) => [key, unquote(text ?? "")])),
        value: Number(value),
      };
    });
  }

  /** The sum of all samples of a name whose labels include these; 0 when there is none. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    return this.find(name, labels).reduce((sum, sample) => sum + sample.value, 0);
  }

  /** The samples of a name whose labels include these. */
  find(name: string, labels: Readonly<Record<string, string>> = {}): readonly Sample[] {
    const wanted = Object.entries(labels);
    return this.samples.filter(
      (sample) => sample.name === name && wanted.every(([key, value]) => sample.labels[key] === value),
    );
  }
}

const unquote = (text: string) => text.replace(/\\(.)/g, (_, char: string) => (char === "n" ? "\n" : char));

/** Packets of one container by direction (receive = towards it) and path. */
export interface PathCounts {
  readonly receive: { readonly fast: number; readonly slow: number };
  readonly transmit: { readonly fast: number; readonly slow: number };
}

/** A container's packet counters, over all its networks or on one. */
export function pathCounts(metrics: Metrics, container: string, network?: string): PathCounts {
  const count = (direction: string, path: string) =>
    metrics.sum(`fairway_endpoint_${direction}_packets_total`, {
      container,
      path,
      ...(network && { network }),
    });
  return {
    receive: { fast: count("receive", "fast"), slow: count("receive", "slow") },
    transmit: { fast: count("transmit", "fast"), slow: count("transmit", "slow") },
  };
}

/** later - earlier. */
export function difference(later: PathCounts, earlier: PathCounts): PathCounts {
  const minus = (direction: "receive" | "transmit") => ({
    fast: later[direction].fast - earlier[direction].fast,
    slow: later[direction].slow - earlier[direction].slow,
  });
  return { receive: minus("receive"), transmit: minus("transmit") };
}

/** The share of packets, both directions together, that took the fast path: 0 to 1; 0 when there was none. */
export function fastShare({ receive, transmit }: PathCounts): number {
  const fast = receive.fast + transmit.fast;
  const all = fast + receive.slow + transmit.slow;
  return all === 0 ? 0 : fast / all;
}
