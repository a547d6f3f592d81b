import { Registry } from "prom-client";
import type { DaemonObserver } from "../controller/daemon.js";
import { collectorKinds, scrapeMetrics } from "./catalogue.js";
import type { Collector, CollectorContext, CollectorKind } from "./collector.js";
import { Exposition } from "./exposition.js";
import { paced } from "./pace.js";
import { SeriesTexts } from "./series_texts.js";

/**
 * Takes a scrape's text, piece by piece, as it is written.
 * @param piece good until it returns
 * @returns what is to be waited for before the next piece
 */
export type TakePiece = (piece: Buffer) => Promise<void> | undefined;

export interface Metrics {
  /**
   * Reads everything anew. Never fails because of a collector. Scrapes at the same time wait for each other.
   */
  scrape(take: TakePiece): Promise<void>;
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
  const texts = new SeriesTexts();
  const running = collectorKinds.flatMap((kind): Running[] => {
    const collector = kind.create(options);
    return collector === undefined ? [] : [{ kind, collector, out: new Exposition(kind.metrics, texts) }];
  });
  const observers = running.flatMap(({ collector }) => collector.observer ?? []);
  const own = new Exposition(Object.values(scrapeMetrics), texts);
  let before: Promise<unknown> = Promise.resolve();

  return {
    contentType: Registry.PROMETHEUS_CONTENT_TYPE,
    observer: {
      reconciled: (result) => observers.forEach((one) => void one.reconciled?.(result)),
      engineConnected: (up) => observers.forEach((one) => void one.engineConnected?.(up)),
      engineEvent: (type, action) => observers.forEach((one) => void one.engineEvent?.(type, action)),
    },
    scrape(take) {
      const scrape = before.then(() => scrapeNow(take));
      before = scrape.catch(() => undefined);
      return scrape;
    },
  };

  async function scrapeNow(take: TakePiece): Promise<void> {
    texts.beginScrape();
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
    await paced(written(expositions, take));
    texts.endScrape();
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

async function* written(expositions: readonly Exposition[], take: TakePiece): AsyncGenerator<void> {
  for (const exposition of expositions) {
    for await (const piece of exposition.text()) {
      const room = piece === undefined ? undefined : take(piece);
      if (room !== undefined) await room;
      yield;
    }
  }
}
