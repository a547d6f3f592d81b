import { Registry } from "prom-client";
import type { DaemonObserver } from "../controller/daemon.js";
import { collectorKinds, scrapeMetrics } from "./catalogue.js";
import type { Collector, CollectorContext, CollectorKind } from "./collector.js";
import { Exposition } from "./exposition.js";
import { paced } from "./pace.js";

/** The text of /metrics. */
export interface Scrape {
  readonly pieces: readonly Buffer[];
  /** To be called once when the pieces are not needed any more: the next scrape may write into them. */
  done(): void;
}

export interface Metrics {
  /**
   * Reads everything anew. Never fails because of a collector. Scrapes at the same time wait for each other.
   */
  scrape(): Promise<Scrape>;
  readonly contentType: string;
  /** To be given to the daemon. */
  readonly observer: Required<DaemonObserver>;
}

export interface MetricsOptions extends CollectorContext {
  /** Told of a collector that failed; its name and what it threw. */
  onFailure?: (collector: string, error: unknown) => void;
}

interface Running {
  kind: CollectorKind;
  collector: Collector;
  out: Exposition;
}

/** fairway's metrics: all collectors that the configuration has on. */
export function createMetrics(options: MetricsOptions): Metrics {
  const running = collectorKinds.flatMap((kind): Running[] => {
    const collector = kind.create(options);
    return collector === undefined ? [] : [{ kind, collector, out: new Exposition(kind.metrics) }];
  });
  const observers = running.flatMap(({ collector }) => collector.observer ?? []);
  const own = new Exposition(Object.values(scrapeMetrics));
  /** Scrapes whose text somebody still has. */
  let lent = 0;
  let before: Promise<unknown> = Promise.resolve();

  return {
    contentType: Registry.PROMETHEUS_CONTENT_TYPE,
    observer: {
      reconciled: (result) => observers.forEach((one) => void one.reconciled?.(result)),
      engineConnected: (up) => observers.forEach((one) => void one.engineConnected?.(up)),
      engineEvent: (type, action) => observers.forEach((one) => void one.engineEvent?.(type, action)),
    },
    scrape() {
      const scrape = before.then(scrapeNow);
      before = scrape.catch(() => undefined);
      return scrape;
    },
  };

  async function scrapeNow(): Promise<Scrape> {
    own.begin();
    const expositions = [own];
    for (const { kind, collector, out } of running) {
      out.begin();
      const start = performance.now();
      const held = await collected(kind.name, collector, out);
      if (held !== undefined) {
        expositions.push(out);
        own.add(scrapeMetrics.held, [kind.name], held / 1000);
      }
      own.add(scrapeMetrics.success, [kind.name], held === undefined ? 0 : 1);
      own.add(scrapeMetrics.duration, [kind.name], (performance.now() - start) / 1000);
    }
    const pieces: Buffer[] = [];
    await paced(written(expositions, pieces, lent === 0));
    lent++;
    return {
      pieces,
      done: () => {
        lent--;
      },
    };
  }

  /** @returns how long it has held up everything else, in ms; undefined: it failed */
  async function collected(name: string, collector: Collector, out: Exposition): Promise<number | undefined> {
    try {
      const start = performance.now();
      const steps = collector.collect(out);
      return steps === undefined ? performance.now() - start : await paced(steps);
    } catch (error) {
      options.onFailure?.(name, error);
      return undefined;
    }
  }
}

async function* written(
  expositions: readonly Exposition[],
  pieces: Buffer[],
  ours: boolean,
): AsyncGenerator<void> {
  for (const exposition of expositions) {
    for await (const piece of exposition.text(ours)) {
      if (piece !== undefined) pieces.push(piece);
      yield;
    }
  }
}
