/** Per-CPU maps whose values' fields are all u64, read in batches: sums over all CPUs, as numbers (exact up to 2^53). */
import type { Codec } from "../codec.js";
import { type MapSums, possibleCpus } from "../native/index.js";
import type { KernelMap } from "./maps.js";
import type { TrafficCounter } from "./reader.js";

const U64 = 8;
/** About a millisecond's worth, and less than what malloc() asks the kernel for (and gives back) each time. */
const BATCH_BYTES = 120 * 1024;

let cpus: number | undefined;

/** @returns how many entries to read in one go, whatever the number of CPUs */
function batchOf(value: Codec<unknown>): number {
  cpus ??= possibleCpus();
  return Math.max(16, Math.min(1024, Math.floor(BATCH_BYTES / (cpus * value.size))));
}

/**
 * All of a per-CPU map, batch by batch.
 * @param most entries that are wanted; asked before each batch
 */
export function* summedBatches(
  { kernel, value }: { kernel: KernelMap; value: Codec<unknown> },
  most: () => number = () => Number.POSITIVE_INFINITY,
): Generator<MapSums> {
  let cursor: Buffer | undefined;
  let read = 0;
  do {
    const left = most() - read;
    if (left <= 0) return;
    const batch = kernel.sumBatch(cursor, Math.min(batchOf(value), left));
    yield batch;
    read += batch.count;
    cursor = batch.cursor;
  } while (cursor !== undefined);
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
