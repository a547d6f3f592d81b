import { addon, type WatchHandle } from "./addon.js";
import type { BpfMap } from "./map.js";

/**
 * Reads a ring buffer map. Each record is given to onRecord on the main thread, at most `budget` (default 256) of them
 * per turn of the event loop, so that a flood can't starve timers and sockets. Keeps the process alive until close().
 * What onRecord throws becomes an uncaught exception.
 */
export class RingBuffer {
  readonly #handle: WatchHandle;

  constructor(map: BpfMap, onRecord: (record: Buffer) => void, options: { budget?: number } = {}) {
    this.#handle = addon().ringBuffer(map.handle, onRecord, options.budget ?? 256);
  }

  /** No record is given after this returns; twice is fine. Records not yet read stay in the map. */
  close(): void {
    this.#handle.close();
  }
}
