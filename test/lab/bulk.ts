// A bulk transfer, and which path its packets took.

import type { Disposers } from "./lib/index.js";
import {
  difference,
  type Fairway,
  fastShare,
  type Namespace,
  type PathCounts,
  pathCounts,
  sleep,
} from "./lib/index.js";
import { type Destination, type StreamAnswer, stream } from "./streams.js";

/** What became of a bulk transfer. */
export interface Bulk {
  readonly answer: StreamAnswer;
  /** By container: the share of its packets that were fast, and what it is made of. */
  readonly shares: Readonly<Record<string, { share: number; taken: PathCounts }>>;
}

/** How to transfer. */
export interface BulkOptions {
  readonly from: Namespace;
  /** A server of stream.mjs. */
  readonly to: Destination;
  /** Whose packets are looked at. */
  readonly containers: readonly string[];
  readonly direction?: "download" | "upload";
  readonly ms?: number;
  readonly disposers: Disposers;
}

/** Transfers for a while, as fast as it goes. */
export async function bulk(fairway: Fairway, options: BulkOptions): Promise<Bulk> {
  const { from, to, containers, direction = "download", ms = 1500, disposers } = options;
  const before = await fairway.metrics();
  const running = await stream(direction, from, to, 0, undefined, disposers);
  await sleep(ms);
  const answer = await running.end();
  const after = await fairway.metrics();
  const shares = Object.fromEntries(
    containers.map((name) => {
      const taken = difference(pathCounts(after, name), pathCounts(before, name));
      return [name, { share: fastShare(taken), taken }];
    }),
  );
  return { answer, shares };
}
