import { addon, type MapHandle } from "./addon.js";
import type { MapBatch, MapInfo, MapSpec, MapSums } from "./bpf-types.js";

/** As bpf(2): BPF_ANY, BPF_NOEXIST, BPF_EXIST. */
const updateFlags = { any: 0, create: 1, exist: 2 } as const;

/**
 * A BPF map by its file descriptor. Keys and values are bytes in the layout of the map; a per-CPU map's value is one
 * value for every possible CPU, each rounded up to 8 bytes. A buffer whose size is not the map's is refused before
 * the kernel is called (NativeError, EMSGSIZE).
 */
export class BpfMap {
  /** For the classes beside this one; not part of the surface. */
  readonly handle: MapHandle;

  private constructor(handle: MapHandle) {
    this.handle = handle;
  }

  /** For the classes beside this one: wraps what the addon returned. */
  static fromHandle(handle: MapHandle): BpfMap {
    return new BpfMap(handle);
  }

  /** Opens a map pinned under a bpffs. NativeError: ENOENT, EINVAL (another kind of object is pinned there), ... */
  static openPinned(path: string): BpfMap {
    return new BpfMap(addon().openPinnedMap(path));
  }

  /** Makes a map of its own, without BTF. A name of more than 15 characters or an unknown type is EINVAL. */
  static create(spec: MapSpec): BpfMap {
    return new BpfMap(addon().createMap(spec));
  }

  get info(): MapInfo {
    return this.handle.info();
  }

  /** Bytes of one value as read and written: per-CPU maps: possible CPUs * valueSize rounded up to 8. */
  get valueLength(): number {
    return this.handle.valueLength();
  }

  /** The value of a key; undefined when there is none. */
  get(key: Uint8Array): Buffer | undefined {
    return this.handle.get(key);
  }

  /** Writes a value. "create" fails with EEXIST where there is one, "exist" with ENOENT where there is none. */
  set(key: Uint8Array, value: Uint8Array, flags: keyof typeof updateFlags = "any"): void {
    this.handle.set(key, value, updateFlags[flags]);
  }

  /** Removes a key; false when there was none. */
  delete(key: Uint8Array): boolean {
    return this.handle.delete(key);
  }

  /**
   * Up to `count` entries from `cursor` on (undefined: from the start). A hash table gives whole buckets, so that there
   * may be more than `count` where a bucket holds more. A map type without batches gives all of its entries at once.
   */
  getBatch(cursor: Buffer | undefined, count: number): MapBatch {
    return this.handle.getBatch(cursor, count);
  }

  /**
   * As getBatch(), of a per-CPU map whose values are u64 only (else NativeError, EINVAL): each field added up over all CPUs. What many
   * CPUs count is much larger than its sums.
   */
  sumBatch(cursor: Buffer | undefined, count: number): MapSums {
    return this.handle.sumBatch(cursor, count);
  }

  /**
   * Writes all entries, whether they exist or not; one by one where the map type has no batches. Returns how many were
   * written; when one fails, NativeError's message says how many were written before it.
   */
  setBatch(keys: Uint8Array, values: Uint8Array): number {
    return this.handle.setBatch(keys, values);
  }

  /** Removes all keys; those that are missing are skipped. Returns how many were removed. */
  deleteBatch(keys: Uint8Array): number {
    return this.handle.deleteBatch(keys);
  }

  /**
   * Every entry. Entries that come or go meanwhile may or may not be seen; the entry just given may be deleted.
   * In an LPM trie that loses entries meanwhile, others may be given twice.
   */
  *entries(batchSize = 256): Generator<{ key: Buffer; value: Buffer }> {
    const { keySize } = this.info;
    const valueLength = this.valueLength;
    let cursor: Buffer | undefined;
    do {
      const batch = this.getBatch(cursor, batchSize);
      for (let index = 0; index < batch.count; index++) {
        yield {
          key: batch.keys.subarray(index * keySize, (index + 1) * keySize),
          value: batch.values.subarray(index * valueLength, (index + 1) * valueLength),
        };
      }
      cursor = batch.cursor;
    } while (cursor !== undefined);
  }

  /** Pins the map at a path on a bpffs; EEXIST when something is there. */
  pin(path: string): void {
    this.handle.pin(path);
  }

  /** Gives the file descriptor back; twice is fine, any other use after it is EBADF. */
  close(): void {
    this.handle.close();
  }
}
