import { addon } from "./addon.js";

/** Lines of Prometheus' text format that have a name in common. */
export interface Lines {
  /** Texts, each behind a byte for a mark and its length (u32, the host's order). */
  readonly store: Uint8Array;
  /** Where in the store the name is. */
  readonly name: number;
  /** Of each line where in the store that is what stands between name and figure. */
  readonly places: Int32Array;
  readonly values: Float64Array;
  /** Set at each text that is written. */
  readonly mark: number;
}

export interface WrittenLines {
  /** The first line that was not written: there was no room, its figure is not a whole number from 0 to 2^53 - 1, or it is not wanted. */
  next: number;
  /** Bytes written. */
  used: number;
  /** Bytes of texts (with what is before them) that had another mark. */
  marked: number;
}

const told = new Float64Array(2);

/**
 * Writes the lines from `from` to `end` to `piece`, figures as digits.
 * @throws NativeError EINVAL for what is not in the store
 */
export function writeLines(piece: Uint8Array, lines: Lines, from: number, end: number): WrittenLines {
  const { store, name, places, values, mark } = lines;
  const next = addon().writeLines(piece, store, name, places, values, from, end, mark, told);
  return { next, used: told[0] as number, marked: told[1] as number };
}
