import { errorCode } from "../errors.js";
import type { BpfMap } from "../native/index.js";
import type { RawEntry } from "./actual.js";

/**
 * Writes entries into a map: all at once, or where there is no room for all of them one by one, so that everything that fits
 * gets in.
 * @returns how many are written
 * @throws NativeError for any failure but a full map
 */
export function writeFitting(map: Pick<BpfMap, "set" | "setBatch">, entries: readonly RawEntry[]): number {
  if (entries.length === 0) return 0;
  try {
    return map.setBatch(Buffer.concat(entries.map((e) => e.key)), Buffer.concat(entries.map((e) => e.value)));
  } catch (error) {
    if (!isFull(error)) throw error;
  }
  let written = 0;
  for (const { key, value } of entries) {
    try {
      map.set(key, value);
      written++;
    } catch (error) {
      if (!isFull(error)) throw error;
    }
  }
  return written;
}

/** What hash tables and tries say when they have no room, or the kernel no memory. */
function isFull(error: unknown): boolean {
  return ["E2BIG", "ENOMEM", "ENOSPC"].includes(errorCode(error) ?? "");
}
