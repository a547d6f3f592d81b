/** A line's labels' values. */
export type Labels = readonly string[];

/** Lines as a scrape has written them. */
export class WrittenLines {
  readonly hashes: Int32Array;
  /** Of their texts. */
  readonly places: Int32Array;

  constructor(readonly labels: Labels[]) {
    this.hashes = new Int32Array(labels.length);
    this.places = new Int32Array(labels.length);
  }

  get count(): number {
    return this.labels.length;
  }
}

/**
 * Which line is which, in a scrape whose lines are not those of the last one in the same order: some came, went or moved. Lines are
 * looked up by a hash of their labels where they don't just follow each other.
 */
export class LineOrder {
  readonly labels: Labels[];
  /** For each line its place in the last scrape, or -1 - its place among those that are new; longer than there are lines. */
  from: Int32Array;
  /** Of the labels; as long as `from`. */
  hashes: Int32Array;
  /** Places in this scrape of those that are new. */
  readonly fresh: number[] = [];
  /** For each line of the last scrape its place in this one, or -1. */
  readonly #to: Int32Array;
  /** The line of the last scrape that follows if nothing more is different. */
  #next: number;
  /** Open addressing: 1 + a place in the last scrape, or -1 - a place in this one of a new line; 0: free. */
  #table = new Int32Array(0);

  /**
   * @param before the last scrape's lines
   * @param count so many of them are the same
   */
  constructor(
    private readonly before: WrittenLines,
    count: number,
  ) {
    this.labels = before.labels.slice(0, count);
    const room = Math.max(count, before.count) + 8;
    this.from = new Int32Array(room);
    this.hashes = new Int32Array(room);
    this.hashes.set(before.hashes.subarray(0, count));
    this.#to = new Int32Array(before.count).fill(-1);
    for (let at = 0; at < count; at++) {
      this.from[at] = at;
      this.#to[at] = at;
    }
    this.#next = count;
    this.#fillTable();
  }

  /**
   * @param fresh the places of the new lines' texts
   * @throws Error where these are not as many
   */
  written(fresh: readonly number[]): WrittenLines {
    if (fresh.length !== this.fresh.length)
      throw new Error(`${this.fresh.length} new lines wanted, not ${fresh.length}`);
    const now = new WrittenLines(this.labels);
    now.hashes.set(this.hashes.subarray(0, now.count));
    for (let at = 0; at < now.count; at++) {
      const from = this.from[at] as number;
      now.places[at] = (from < 0 ? fresh[-1 - from] : this.before.places[from]) as number;
    }
    return now;
  }

  /** @returns the line's place; below `count` as it was before: it has been added already */
  place(labels: Labels): number {
    const next = this.#next;
    const { before } = this;
    if (next < before.count && sameLabels(before.labels[next], labels)) return this.#placeOld(next, labels);
    const hash = hashOf(labels);
    const found = this.#find(labels, hash);
    if (found > 0) return this.#placeOld(found - 1, labels);
    if (found < 0) return -1 - found;
    const at = this.#push(-1 - this.fresh.length, labels, hash);
    this.fresh.push(at);
    if (2 * (before.count + this.fresh.length) > this.#table.length) this.#fillTable();
    else insert(this.#table, hash, -1 - at);
    return at;
  }

  #placeOld(old: number, labels: Labels): number {
    this.#next = old + 1;
    const twice = this.#to[old] as number;
    if (twice >= 0) return twice;
    const at = this.#push(old, labels, this.before.hashes[old] as number);
    this.#to[old] = at;
    return at;
  }

  #push(from: number, labels: Labels, hash: number): number {
    const at = this.labels.push(labels) - 1;
    if (at === this.from.length) {
      this.from = longer(this.from);
      this.hashes = longer(this.hashes);
    }
    this.from[at] = from;
    this.hashes[at] = hash;
    return at;
  }

  #fillTable(): void {
    const { hashes, count } = this.before;
    let size = 16;
    while (size < 4 * (count + this.fresh.length)) size *= 2;
    this.#table = new Int32Array(size);
    for (let at = 0; at < count; at++) insert(this.#table, hashes[at] as number, at + 1);
    for (const at of this.fresh) insert(this.#table, this.hashes[at] as number, -1 - at);
  }

  /** @returns 1 + the place in the last scrape, -1 - the place in this one, 0: neither */
  #find(labels: Labels, hash: number): number {
    const table = this.#table;
    const mask = table.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const found = table[slot] as number;
      if (found === 0) return 0;
      const same =
        found > 0
          ? sameLabels(this.before.labels[found - 1], labels)
          : sameLabels(this.labels[-1 - found], labels);
      if (same) return found;
    }
  }
}

export function sameLabels(one: Labels | undefined, other: Labels): boolean {
  if (one === other) return true;
  for (let i = 0; i < other.length; i++) if (one?.[i] !== other[i]) return false;
  return true;
}

function longer(array: Int32Array): Int32Array {
  const twice = new Int32Array(2 * array.length);
  twice.set(array);
  return twice;
}

/** FNV-1a over UTF-16 units. */
function hashOf(labels: Labels): number {
  let hash = 0x811c9dc5 | 0;
  for (const label of labels) {
    for (let i = 0; i < label.length; i++) hash = Math.imul(hash ^ label.charCodeAt(i), 0x01000193);
    hash = Math.imul(hash ^ 0xffff, 0x01000193);
  }
  // The table goes by the low bits; let them depend on all of it.
  return hash ^ (hash >>> 15);
}

function insert(table: Int32Array, hash: number, entry: number): void {
  const mask = table.length - 1;
  let slot = hash & mask;
  while (table[slot] !== 0) slot = (slot + 1) & mask;
  table[slot] = entry;
}
