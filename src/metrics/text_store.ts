import { writeLines } from "../native/index.js";
import { figureText } from "./figures.js";

/** Lines of one piece of text: a fraction of a millisecond's worth. */
const PIECE_LINES = 1024;
/** Bytes of one piece; a line that is longer is a piece of its own. */
const PIECE_BYTES = 128 * 1024;
/** What is before a text: which scrape has had it last, and its length. */
const HEAD = 5;
/** By so many bytes there is more room for texts: little is spare, and ten copies of megabytes are nothing. */
const GROWTH = 512 * 1024;

/** Lines that have a name in common. */
export interface NamedLines {
  /** The name's place. */
  readonly name: number;
  readonly count: number;
  /** Of each line the place of what is between name and figure. */
  readonly places: Int32Array;
  readonly values: Float64Array;
}

/** Texts by their place, each of them once: what the lines of some metrics say besides names and figures is the same. */
export class TextStore {
  /** Nothing is at place 0. */
  #bytes = Buffer.allocUnsafeSlow(GROWTH);
  #end = HEAD;
  /** Open addressing: places; 0: free. */
  #table = new Int32Array(1024);
  /** Of the texts in the table. */
  #hashes = new Int32Array(1024);
  #count = 0;
  readonly #piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
  #scrape = 1;
  #live = 0;

  /** Bytes of all texts. */
  get size(): number {
    return this.#end - HEAD;
  }

  /** Bytes of the texts that were written since beginScrape(). */
  get live(): number {
    return this.#live;
  }

  beginScrape(): void {
    this.#scrape = (this.#scrape % 255) + 1;
    this.#live = 0;
  }

  /** @returns the place of the text that is from `start` to `end` */
  add(source: Buffer, start = 0, end = source.length): number {
    const hash = hashOf(source, start, end);
    const mask = this.#table.length - 1;
    let slot = hash & mask;
    for (; this.#table[slot] !== 0; slot = (slot + 1) & mask) {
      const place = this.#table[slot] as number;
      const begin = place + HEAD;
      const length = this.#length(place);
      if (
        this.#hashes[slot] === hash &&
        length === end - start &&
        this.#bytes.compare(source, start, end, begin, begin + length) === 0
      )
        return place;
    }
    const place = this.#append(source, start, end);
    this.#table[slot] = place;
    this.#hashes[slot] = hash;
    if (2 * ++this.#count > this.#table.length) this.#enlargeTable();
    return place;
  }

  /** @returns the place here of what `other` has there */
  addFrom(other: TextStore, place: number): number {
    const begin = place + HEAD;
    return this.add(other.#bytes, begin, begin + other.#length(place));
  }

  /** The text of lines, piece by piece; each is written over by the next one, of whatever lines. */
  *write({ name, count, places, values }: NamedLines): Generator<Buffer> {
    const piece = this.#piece;
    for (let at = 0; at < count; ) {
      const lines = { store: this.#bytes, name, places, values, mark: this.#scrape };
      const { next, used, marked } = writeLines(piece, lines, at, Math.min(at + PIECE_LINES, count));
      this.#live += marked;
      at = next;
      if (used > 0) yield piece.subarray(0, used);
      // Its figure is not a count, or it is too long for a piece.
      else yield this.#line(name, places[at] as number, values[at++] as number);
    }
  }

  #line(name: number, place: number, value: number): Buffer {
    const text = this.#text(place);
    if (this.#bytes[place] !== this.#scrape) {
      this.#bytes[place] = this.#scrape;
      this.#live += HEAD + text.length;
    }
    return Buffer.concat([this.#text(name), text, Buffer.from(`${figureText(value)}\n`)]);
  }

  #text(place: number): Buffer {
    return this.#bytes.subarray(place + HEAD, place + HEAD + this.#length(place));
  }

  #length(place: number): number {
    return this.#bytes.readUInt32LE(place + 1);
  }

  #append(source: Buffer, start: number, end: number): number {
    const place = this.#end;
    const needed = place + HEAD + end - start;
    if (needed > this.#bytes.length) {
      const longer = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length + GROWTH));
      this.#bytes.copy(longer, 0, 0, place);
      this.#bytes = longer;
    }
    this.#bytes[place] = 0;
    this.#bytes.writeUInt32LE(end - start, place + 1);
    source.copy(this.#bytes, place + HEAD, start, end);
    this.#end = needed;
    return place;
  }

  #enlargeTable(): void {
    const [table, hashes] = [this.#table, this.#hashes];
    this.#table = new Int32Array(2 * table.length);
    this.#hashes = new Int32Array(2 * table.length);
    const mask = this.#table.length - 1;
    for (const [at, place] of table.entries()) {
      if (place === 0) continue;
      const hash = hashes[at] as number;
      let slot = hash & mask;
      while (this.#table[slot] !== 0) slot = (slot + 1) & mask;
      this.#table[slot] = place;
      this.#hashes[slot] = hash;
    }
  }
}

/** FNV-1a. */
function hashOf(bytes: Buffer, start: number, end: number): number {
  let hash = 0x811c9dc5 | 0;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193);
  // The table goes by the low bits; let them depend on all of it.
  return hash ^ (hash >>> 15);
}
