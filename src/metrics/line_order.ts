import type { WrittenLines } from "./line_text.js";

/**
 * Which line is which, in a scrape whose lines are not those of the last one in the same order: some came, went or moved. Lines are
 * looked up by a hash of their labels where they don't just follow each other.
 */
export class LineOrder {
  readonly labels: string[];
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
  #count: number;
  /** Open addressing: 1 + a place in the last scrape, or -1 - a place in this one of a new line; 0: free. */
  #table = new Int32Array(0);

  /**
   * @param before the last scrape's lines
   * @param count so many of them are the same
   * @param stride labels of a line
   */
  constructor(
    private readonly before: WrittenLines,
    count: number,
    private readonly stride: number,
  ) {
    this.labels = before.labels.slice(0, count * stride);
    const room = Math.max(count, before.count) + 8;
    this.from = new Int32Array(room);
    this.hashes = new Int32Array(room);
    this.hashes.set(before.hashes.subarray(0, count));
    this.#to = new Int32Array(before.count).fill(-1);
    for (let at = 0; at < count; at++) {
      this.from[at] = at;
      this.#to[at] = at;
    }
    this.#count = count;
    this.#next = count;
    this.#fillTable();
  }

  get count(): number {
    return this.#count;
  }

  /** @returns the line's place; below `count` as it was before: it has been added already */
  place(labels: readonly string[]): number {
    const next = this.#next;
    const { before } = this;
    if (next < before.count && sameLabels(before.labels, next * this.stride, labels))
      return this.#placeOld(next, labels);
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

  #placeOld(old: number, labels: readonly string[]): number {
    this.#next = old + 1;
    const twice = this.#to[old] as number;
    if (twice >= 0) return twice;
    const at = this.#push(old, labels, this.before.hashes[old] as number);
    this.#to[old] = at;
    return at;
  }

  #push(from: number, labels: readonly string[], hash: number): number {
    for (let i = 0; i < this.stride; i++) this.labels.push(labels[i] as string);
    const at = this.#count++;
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
  #find(labels: readonly string[], hash: number): number {
    const table = this.#table;
    const mask = table.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const found = table[slot] as number;
      if (found === 0) return 0;
      const same =
        found > 0
          ? sameLabels(this.before.labels, (found - 1) * this.stride, labels)
          : sameLabels(this.labels, (-1 - found) * this.stride, labels);
      if (same) return found;
    }
  }
}

/** @param at where a line's labels begin in `all` */
export function sameLabels(all: readonly string[], at: number, labels: readonly string[]): boolean {
  for (let i = 0; i < labels.length; i++) if (all[at + i] !== labels[i]) return false;
  return true;
}

function longer(array: Int32Array): Int32Array {
  const twice = new Int32Array(2 * array.length);
  twice.set(array);
  return twice;
}

/** FNV-1a over UTF-16 units. */
function hashOf(labels: readonly string[]): number {
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
