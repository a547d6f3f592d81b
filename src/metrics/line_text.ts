import { figureLength, writeFigure } from "./figures.js";

/** Lines of one piece of text. */
export const PIECE = 512;
/** Bytes for figures that grow, for each line of a piece. */
const ROOM = 2;
const NEWLINE = 10;

/** Where lines are in their text, one element a line. */
export class PlacedLines {
  readonly starts: Int32Array;
  /** Bytes before the figure. */
  readonly heads: Int32Array;
  /** Bytes of the figure; a newline follows it. */
  readonly lengths: Uint8Array;

  constructor(readonly count: number) {
    this.starts = new Int32Array(count);
    this.heads = new Int32Array(count);
    this.lengths = new Uint8Array(count);
  }
}

/** Lines whose figures are all 0, as they come from the first writer of a line. */
export class FreshLines extends PlacedLines {
  /** Of each line. */
  readonly texts: Buffer[] = [];

  /**
   * @param texts whole lines
   * @throws Error where these are not `count` lines
   */
  constructor(count: number, texts: Iterable<Buffer>) {
    super(count);
    for (const text of texts)
      for (let start = 0; start < text.length; ) {
        const line = this.texts.push(text) - 1;
        const end = text.indexOf(NEWLINE, start);
        this.starts[line] = start;
        this.heads[line] = end - 1 - start;
        this.lengths[line] = 1;
        start = end + 1;
      }
    if (this.texts.length !== count) throw new Error(`${count} lines wanted, not ${this.texts.length}`);
  }
}

/** Lines as a scrape has written them. */
export class WrittenLines extends PlacedLines {
  readonly values: Float64Array;
  readonly hashes: Int32Array;
  /** PIECE lines in each but the last, and room behind them. */
  readonly pieces: Buffer[] = [];

  constructor(
    count: number,
    /** Of all lines, one line's labels behind the other's. */
    readonly labels: readonly string[],
  ) {
    super(count);
    this.values = new Float64Array(count);
    this.hashes = new Int32Array(count);
  }
}

/** What a scrape's lines are made of. */
export interface Sources {
  readonly before: WrittenLines;
  /** The same as `before` where the lines are the same. */
  readonly now: WrittenLines;
  /** The figures of now. */
  readonly values: Float64Array;
  /** For each line its place in `before`, or -1 - its place in `fresh`; undefined: the same place. */
  readonly from: Int32Array | undefined;
  readonly fresh: FreshLines;
  /** Whether the pieces of `before` may be written over. */
  readonly ours: boolean;
}

/** Of the piece that is being written; there is one at a time. */
let scratch = Buffer.alloc(0);
const lengths = new Uint8Array(PIECE);

/**
 * Writes the piece that begins with line `begin`. What has changed are mostly figures of the same length, which are written into the text
 * of the last scrape.
 */
export function writePiece(sources: Sources, begin: number): Buffer {
  const { before, now, values, ours } = sources;
  const end = Math.min(begin + PIECE, now.count);
  const index = begin / PIECE;
  const old = before.pieces[index];
  const { size, same, changed } = measure(sources, begin, end);
  let piece = old;
  if (same && piece !== undefined) {
    if (changed && !ours) piece = Buffer.from(piece);
    if (now !== before) copyPlaces(before, now, begin, end);
    if (changed) writeChanged(piece, before.values, sources, begin, end);
  } else {
    if (scratch.length < size) scratch = Buffer.allocUnsafeSlow(size * 2);
    copyLines(sources, begin, end);
    // While lines move, the last scrape's text is still needed for the pieces that follow.
    if (!ours || now !== before || piece === undefined || piece.length < size)
      piece = Buffer.allocUnsafeSlow(size + ROOM * (end - begin));
    scratch.copy(piece, 0, 0, size);
  }
  now.pieces[index] = piece;
  now.values.set(values.subarray(begin, end), begin);
  return piece.subarray(0, size);
}

/**
 * How long figures (into `lengths`) and piece will be.
 * @returns same: these lines are in the last scrape's piece, in this order and from its start, with figures as long as these
 */
function measure({ before, values, from, fresh }: Sources, begin: number, end: number) {
  let same = true;
  let changed = false;
  let size = 0;
  for (let at = begin; at < end; at++) {
    const old = from === undefined ? at : (from[at] as number);
    const value = values[at] as number;
    if (old !== at) same = false;
    let length: number;
    if (old < 0) {
      length = figureLength(value);
      size += fresh.heads[-1 - old] as number;
    } else {
      length = before.lengths[old] as number;
      size += before.heads[old] as number;
      if (value !== before.values[old]) {
        changed = true;
        const grown = figureLength(value);
        if (grown !== length) same = false;
        length = grown;
      }
    }
    lengths[at - begin] = length;
    size += length + 1;
  }
  return { size, same, changed };
}

function copyPlaces(before: WrittenLines, now: WrittenLines, begin: number, end: number): void {
  now.starts.set(before.starts.subarray(begin, end), begin);
  now.heads.set(before.heads.subarray(begin, end), begin);
  now.lengths.set(before.lengths.subarray(begin, end), begin);
}

/** Figures of the same length into the piece that has all else. */
function writeChanged(
  piece: Buffer,
  old: Float64Array,
  { now, values }: Sources,
  begin: number,
  end: number,
): void {
  for (let at = begin; at < end; at++) {
    const value = values[at] as number;
    if (value === old[at]) continue;
    const place = (now.starts[at] as number) + (now.heads[at] as number);
    writeFigure(value, piece, place, now.lengths[at] as number);
  }
}

/** All lines into `scratch`. Those that followed each other are copied in one go, but for figures that have changed. */
function copyLines({ before, now, values, from, fresh }: Sources, begin: number, end: number): void {
  let source: Buffer | undefined;
  let runBegin = 0;
  let runEnd = 0;
  let written = 0;
  for (let at = begin; at < end; at++) {
    const old = from === undefined ? at : (from[at] as number);
    const line = old < 0 ? -1 - old : old;
    const placed = old < 0 ? fresh : before;
    const text = old < 0 ? fresh.texts[line] : before.pieces[Math.floor(line / PIECE)];
    const start = placed.starts[line] as number;
    const head = placed.heads[line] as number;
    const length = placed.lengths[line] as number;
    const newLength = lengths[at - begin] as number;
    const value = values[at] as number;
    if (text !== source || start !== runEnd) {
      written += source?.copy(scratch, written, runBegin, runEnd) ?? 0;
      source = text;
      runBegin = start;
    }
    now.starts[at] = written + start - runBegin;
    now.heads[at] = head;
    now.lengths[at] = newLength;
    runEnd = start + head + length + 1;
    if (value === (old < 0 ? 0 : before.values[old])) continue;
    written += source?.copy(scratch, written, runBegin, start + head) ?? 0;
    writeFigure(value, scratch, written, newLength);
    written += newLength;
    runBegin = runEnd - 1;
  }
  source?.copy(scratch, written, runBegin, runEnd);
}
