/** How many entries maps have. */
import type { MapName } from "../generated/index.js";
import type { MapBatch } from "../native/index.js";
import { type KernelMap, type Maps, mapNames } from "./maps.js";

/** Arrays: an entry is in use when it is not zero. */
const TABLES: ReadonlySet<MapName> = new Set([
  "masquerade_ports",
  "device_slots",
  "flow_table_counters",
  "flow_drafts_ipv4",
  "flow_drafts_ipv6",
  "sync_budgets",
  "tcp_controls",
  "source_blocks",
  "xdp_counters",
  "pairs_uncounted",
]);
/** With each socket: the kernel lists none, and has no limit. */
const UNLISTED: ReadonlySet<MapName> = new Set(["host_sockets"]);
const BATCH = 2048;
/** Of each reading. An array of 65,536 entries takes the kernel twelve, an empty hash table of as many buckets half a millisecond. */
const BUDGET_MS = 2;

export interface MapCount {
  map: MapName;
  entries: number;
}

/** Counts entries, map after map and round after round: where the time of one reading is over, the next one goes on. */
export class MapCounter {
  readonly #counts = new Map<MapName, number>();
  /** The next map is the first. */
  readonly #turns = mapNames.filter((map) => !UNLISTED.has(map));
  #underWay: Iterator<undefined, number> | undefined;

  /** @param known what need not be counted; undefined: it has to be */
  constructor(
    private readonly maps: Maps,
    private readonly known: (map: MapName) => number | undefined,
  ) {}

  /** @returns undefined: a step on the way to the next map */
  *steps(budgetMs = BUDGET_MS): Generator<MapCount | undefined> {
    yield* this.#count(budgetMs);
    for (const map of mapNames) {
      if (UNLISTED.has(map)) continue;
      yield { map, entries: this.known(map) ?? this.#counts.get(map) ?? 0 };
    }
  }

  /** At least one step, and at most one round. */
  *#count(budgetMs: number): Generator<undefined> {
    let spent = 0;
    let left = this.#turns.length;
    for (let first = true; left > 0; first = false) {
      const map = this.#turns[0] as MapName;
      if (!first && spent >= budgetMs && this.#counts.has(map)) return;
      const start = performance.now();
      this.#underWay ??= this.#steps(map);
      const step = this.#underWay.next();
      spent += performance.now() - start;
      if (step.done === true) {
        this.#counts.set(map, step.value);
        this.#turns.push(this.#turns.shift() as MapName);
        this.#underWay = undefined;
        left--;
      } else yield;
    }
  }

  *#steps(map: MapName): Generator<undefined, number> {
    return this.known(map) ?? (yield* countEntries(this.maps[map].kernel, TABLES.has(map)));
  }
}

/** @param table only what is not zero counts */
function* countEntries(map: KernelMap, table: boolean): Generator<undefined, number> {
  let entries = 0;
  let cursor: Buffer | undefined;
  do {
    const batch = map.getBatch(cursor, BATCH);
    entries += table ? nonZero(batch) : batch.count;
    cursor = batch.cursor;
    if (cursor !== undefined) yield;
  } while (cursor !== undefined);
  return entries;
}

function nonZero({ values, count }: MapBatch): number {
  const size = count === 0 ? 1 : values.length / count;
  let used = 0;
  for (let at = 0; at < values.length; at += size) {
    let end = at;
    while (end < at + size && values[end] === 0) end++;
    if (end < at + size) used++;
  }
  return used;
}
