/** Per-CPU maps whose values' fields are all u64, read in batches: sums over all CPUs, as numbers (exact up to 2^53). */
import type { Codec } from "../codec.js";
import { type MapBatch, possibleCpus } from "../native/index.js";
import type { KernelMap } from "./maps.js";
import type { TrafficCounter } from "./reader.js";

const U64 = 8;
/** About a millisecond's worth. */
const BATCH_BYTES = 128 * 1024;

let cpus: number | undefined;

/** @returns how many entries to read in one go, whatever the number of CPUs */
export function batchOf(value: Codec<unknown>): number {
  cpus ??= possibleCpus();
  return Math.max(16, Math.min(1024, Math.floor(BATCH_BYTES / (cpus * value.size))));
}

/** A batch of a per-CPU map. */
export interface SummedBatch {
  readonly keys: Buffer;
  readonly count: number;
  /** size / 8 sums for each entry; the next batch of any map is written over them. */
  readonly sums: Float64Array;
}

/**
 * All of a per-CPU map, batch by batch.
 * @param most entries that are wanted; asked before each batch
 */
export function* summedBatches(
  { kernel, value }: { kernel: KernelMap; value: Codec<unknown> },
  most: () => number = () => Number.POSITIVE_INFINITY,
): Generator<SummedBatch> {
  let cursor: Buffer | undefined;
  let read = 0;
  do {
    const left = most() - read;
    if (left <= 0) return;
    const batch = kernel.getBatch(cursor, Math.min(batchOf(value), left));
    yield { keys: batch.keys, count: batch.count, sums: sumBatch(batch, value.size / U64) };
    read += batch.count;
    cursor = batch.cursor;
  } while (cursor !== undefined);
}

let sums = new Float64Array(0);

function sumBatch({ values, count }: MapBatch, fields: number): Float64Array {
  const wanted = count * fields;
  if (sums.length < wanted) sums = new Float64Array(2 * wanted);
  const halves = halvesOf(values);
  const entry = count === 0 ? 0 : halves.length / count;
  for (let i = 0, field = 0, at = 0; i < wanted; i++) {
    let sum = 0;
    for (let half = at + 2 * field; half < at + entry; half += 2 * fields)
      sum += (halves[half] as number) + (halves[half + 1] as number) * 0x1_0000_0000;
    sums[i] = sum;
    if (++field < fields) continue;
    field = 0;
    at += entry;
  }
  return sums;
}

/** The bytes as u32. */
export function halvesOf(bytes: Buffer): Uint32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : Uint8Array.from(bytes);
  return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length >> 2);
}

/** Sets `counter` to what is counted in an entry whose sums begin at `from`. */
export function setCounter(
  counter: TrafficCounter,
  places: { packets: number; bytes: number } | undefined,
  sums: Float64Array,
  from: number,
): void {
  if (places === undefined) return;
  counter.packets = sums[from + places.packets] as number;
  counter.bytes = sums[from + places.bytes] as number;
}

/** As T, but for its figures. */
export type Places<T> = T extends bigint ? number : { readonly [K in keyof T]: Places<T[K]> };

/** @returns a value whose fields say which of an entry's sums they are */
export function sumPlaces<T>(codec: Codec<T>): Places<T> {
  const places = Buffer.alloc(codec.size);
  for (let field = 0; field < codec.size / U64; field++) places.writeUInt32LE(field, field * U64);
  return asNumbers(codec.decode(places)) as Places<T>;
}

function asNumbers(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(asNumbers);
  return Object.fromEntries(Object.entries(value as object).map(([name, field]) => [name, asNumbers(field)]));
}
