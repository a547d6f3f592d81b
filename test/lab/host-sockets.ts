// What the tests of host sockets share: the agent's answers and fairway's counters.

import type { Fairway } from "./lib/index.js";

/** dial.mjs */
export interface DialAnswer {
  readonly source?: string;
  readonly peer?: string;
  readonly local?: string;
  readonly from?: string;
  readonly error?: string;
}

/** Sockets that dialled a published port: "fast", or the reason why they were left to the engine. */
export async function countedSockets(fairway: Fairway): Promise<Map<string, number>> {
  const sums = new Map<string, number>();
  for (const { labels, value } of (await fairway.metrics()).find("fairway_host_sockets_total", {})) {
    const what = labels.path === "fast" ? "fast" : (labels.reason ?? "");
    sums.set(what, (sums.get(what) ?? 0) + value);
  }
  return sums;
}

/** What became of the sockets that were opened between two counts. */
export function grownSockets(
  before: Map<string, number>,
  after: Map<string, number>,
): Record<string, number> {
  const more = [...after].map(([what, value]) => [what, value - (before.get(what) ?? 0)] as const);
  return Object.fromEntries(more.filter(([, value]) => value > 0));
}
