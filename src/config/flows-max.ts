import { totalmem } from "node:os";

/**
 * Memory of the host for one entry in each family's flow table. The two cost some 400 bytes (key, value, the hash element and
 * its LRU node, taken when the tables are made), so that the tables together have less than 1.3 % of the memory.
 */
const MEMORY_PER_ENTRY = 32 * 1024;

export const FLOWS_MAX_SMALLEST = 1024;
export const FLOWS_MAX_LARGEST = 16_777_216;
const AUTO_SMALLEST = 16_384;
/** Two for each connection that the kernel's conntrack holds by default on a large host (nf_conntrack_max, 262,144). */
const AUTO_LARGEST = 524_288;

/**
 * The size of each family's flow table for a host of that much memory: an entry per 32 KiB, a power of two, 16,384 (512 MiB
 * of memory and less) to 524,288 entries (16 GiB and more). A connection has two entries, one per direction.
 * @param memory bytes
 */
export function flowsMaxFor(memory: number): number {
  const power = 2 ** Math.floor(Math.log2(Math.max(memory / MEMORY_PER_ENTRY, 1)));
  return Math.min(Math.max(power, AUTO_SMALLEST), AUTO_LARGEST);
}

/** The host's memory in bytes, or what our cgroup may use of it: the kernel charges the maps to that. */
export function usableMemory(): number {
  const constrained = process.constrainedMemory();
  const total = totalmem();
  return constrained > 0 ? Math.min(constrained, total) : total;
}
