import { figureLength, writeFigure } from "./figures.js";

/** Lines of one piece of text. */
const PIECE_LINES = 512;
/** Bytes of one piece; a line that is longer is a piece of its own. */
const PIECE_BYTES = 128 * 1024;
/** What is before a text: which scrape has had it last, and its length. */
const HEAD = 5;
/** By so many bytes there is more room for texts: little is spare, and ten copies of megabytes are nothing. */
const GROWTH = 512 * 1024;
const NEWLINE = 10;

/** Lines that have a name in common. */
export interface NamedLines {
  /** The name's place. */
  readonly name: number;
  readonly count: number;
  /** Of each line the place of what is between name and figure. */
  readonly places: Int32Array;
  readonly values: Float64Array;
}

/**
 * Texts by their place, each of them once: what the lines of some metrics say besides names and figures is the same. They lie behind a
 * place to write in, since nothing copies bytes as fast as copyWithin() does.
 */
export class TextStore {
  #bytes = Buffer.allocUnsafeSlow(2 * PIECE_BYTES);
  #end = PIECE_BYTES;
  /** Open addressing: places; 0: free. */
  #table = new Int32Array(1024);
  /** Of the texts in the table. */
  #hashes = new Int32Array(1024);
  #count = 0;
  #scrape = 1;
  #live = 0;

  /** Bytes of all texts. */
  get size(): number {
    return this.#end - PIECE_BYTES;
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
    for (let at = 0; at < count; ) {
      const last = Math.min(at + PIECE_LINES, count);
      // Others have had their turn since the last piece, and may have added texts.
      const bytes = this.#bytes;
      const nameLength = this.#length(name);
      let to = 0;
      for (; at < last; at++) {
        const place = places[at] as number;
        const value = values[at] as number;
        const length = this.#length(place);
        const figure = figureLength(value);
        if (to + nameLength + length + figure + 1 > PIECE_BYTES) break;
        if (bytes[place] !== this.#scrape) {
          bytes[place] = this.#scrape;
          this.#live += HEAD + length;
        }
        bytes.copyWithin(to, name + HEAD, name + HEAD + nameLength);
        to += nameLength;
        bytes.copyWithin(to, place + HEAD, place + HEAD + length);
        to += length;
        writeFigure(value, bytes, to, figure);
        to += figure;
        bytes[to++] = NEWLINE;
      }
      if (to > 0) yield bytes.subarray(0, to);
      else yield this.#longLine(name, places[at] as number, values[at++] as number);
    }
  }

  #longLine(name: number, place: number, value: number): Buffer {
    const figure = Buffer.alloc(figureLength(value) + 1, NEWLINE);
    writeFigure(value, figure, 0, figure.length - 1);
    return Buffer.concat([this.#text(name), this.#text(place), figure]);
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
