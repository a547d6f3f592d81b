import { totalmem } from "node:os";

/** Bytes of kernel memory for one entry of the flow table: key, value, the hash element and its LRU node, rounded up. */
const ENTRY_BYTES = 256;
/** The part of the memory that the flow table may take. */
const MEMORY_SHARE = 1 / 256;

export const FLOWS_MAX_SMALLEST = 1024;
export const FLOWS_MAX_LARGEST = 16_777_216;
const AUTO_SMALLEST = 16_384;
const AUTO_LARGEST = 1_048_576;

/**
 * The size of the flow table for a host of that much memory: a 256th of it, a power of two, 16,384 (1 GiB of memory and
 * less) to 1,048,576 entries. A connection has two entries, one per direction.
 * @param memory bytes
 */
export function flowsMaxFor(memory: number): number {
  const entries = (memory * MEMORY_SHARE) / ENTRY_BYTES;
  const power = 2 ** Math.floor(Math.log2(Math.max(entries, 1)));
  return Math.min(Math.max(power, AUTO_SMALLEST), AUTO_LARGEST);
}

/** The host's memory in bytes, or what our cgroup may use of it: the kernel charges the maps to that. */
export function usableMemory(): number {
  const constrained = process.constrainedMemory();
  const total = totalmem();
  return constrained > 0 ? Math.min(constrained, total) : total;
}
