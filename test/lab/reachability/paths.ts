// Which path the packets of answered questions take, by the counters of a container at one of their ends.

import { difference, fastShare, type Metrics, pathCounts } from "../lib/index.js";
import { askForMore, isAnswer } from "./ask.js";
import { endsOf, type Row, titleOf } from "./rows.js";
import type { World } from "./world.js";

export type Path = "fast" | "slow";

/** Rows that are asked and counted together: of the same two ends, by all protocols and families. */
type Pair = readonly Row[];

/** Not the share of a transfer: a few hundred packets for each row, of which the first may have to be the kernel's. */
const fastFrom = 0.9;

/** About as many packets of each protocol, so that one that is slow among several is noticed. */
const sizes: Readonly<Record<Row["protocol"], number>> = { TCP: 150_000, UDP: 120, ICMP: 100 };

/** Parts pairs into rounds in which no container has to do with two of them, so that each can be counted. Pure. */
export function roundsOf(pairs: readonly Pair[]): Pair[][] {
  const rounds: { pairs: Pair[]; busy: Set<string> }[] = [];
  for (const pair of pairs) {
    const ends = pair.flatMap(endsOf);
    const free = rounds.find(({ busy }) => !ends.some((end) => busy.has(end)));
    const round = free ?? { pairs: [], busy: new Set() };
    if (!free) rounds.push(round);
    round.pairs.push(pair);
    for (const end of ends) round.busy.add(end);
  }
  return rounds.map((round) => round.pairs);
}

/** Rows by their two ends and ports. */
export function pairsOf(rows: readonly Row[]): Pair[] {
  const pairs = new Map<string, Row[]>();
  for (const row of rows) {
    const key = JSON.stringify([row.section, row.from, row.to.at, row.note]);
    const pair = pairs.get(key) ?? [];
    pairs.set(key, pair);
    pair.push(row);
  }
  return [...pairs.values()];
}

/** Asks the rows again, for more, and returns by titleOf() which path each took. All must have been answered. */
export async function pathsTaken(world: World, rows: readonly Row[]): Promise<Map<string, Path>> {
  const paths = new Map<string, Path>();
  const mixed: Pair[] = [];
  for (const round of roundsOf(pairsOf(rows)))
    for (const [pair, share] of await fastShares(world, round))
      if (pair.length > 1 && share > 1 - fastFrom && share < fastFrom)
        mixed.push(...pair.map((row) => [row]));
      else for (const row of pair) paths.set(titleOf(row), pathOf(share));
  for (const round of roundsOf(mixed))
    for (const [[row], share] of await fastShares(world, round))
      if (row) paths.set(titleOf(row), pathOf(share));
  return paths;
}

const pathOf = (share: number): Path => (share >= fastFrom ? "fast" : "slow");

async function fastShares(world: World, round: readonly Pair[]): Promise<(readonly [Pair, number])[]> {
  const before = await world.metrics();
  const said = await askForMore(world, round.flat(), sizes);
  for (const [title, answer] of said)
    if (!isAnswer(answer)) throw new Error(`${title}: ${answer} in the end`);
  const after = await world.metrics();
  return round.map((pair) => [pair, shareOf(pair, before, after)] as const);
}

function shareOf(pair: Pair, before: Metrics, after: Metrics): number {
  const [{ from = "", counted = "" } = {}] = pair;
  if (from === "host") return pair.filter((row) => isLed(row, before, after)).length / pair.length;
  return fastShare(difference(pathCounts(after, counted), pathCounts(before, counted)));
}

/** Whether all sockets of the host's that dialled a row's port were led to the container, past docker-proxy and the engine's rules. */
function isLed({ to: { port }, protocol, family }: Row, before: Metrics, after: Metrics): boolean {
  const count = (metrics: Metrics, path: Path) =>
    metrics
      .find("fairway_host_sockets_total", { proto: protocol.toLowerCase(), path })
      .filter(({ labels: { published = "" } }) => published.endsWith(`:${port}`))
      .filter(({ labels: { published = "" } }) => published.startsWith("[") === (family === "IPv6"))
      .reduce((sum, { value }) => sum + value, 0);
  const more = (path: Path) => count(after, path) - count(before, path);
  return more("fast") > 0 && more("slow") === 0;
}
