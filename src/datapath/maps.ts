import type { Codec } from "../codec.js";
import { decodePerCpu } from "../codec.js";
import { type MapName, mapDefinitions } from "../generated/index.js";
import type { BpfMap } from "../native/index.js";

/** What we use of a kernel's map; BpfMap is one, and tests bring their own. */
export type KernelMap = Pick<
  BpfMap,
  "get" | "set" | "delete" | "getBatch" | "sumBatch" | "setBatch" | "deleteBatch" | "entries" | "close"
>;

type KeyOf<N extends MapName> = (typeof mapDefinitions)[N]["key"] extends Codec<infer K> ? K : never;
type ValueOf<N extends MapName> = (typeof mapDefinitions)[N]["value"] extends Codec<infer V> ? V : never;

/** A kernel's map whose keys and values are typed. Of a per-CPU map a value is the list of all CPUs' values. */
export class TypedMap<K, V> {
  constructor(
    readonly name: MapName,
    readonly kernel: KernelMap,
    readonly key: Codec<K>,
    readonly value: Codec<V>,
    readonly maxEntries: number,
  ) {}

  get(key: K): V | undefined {
    const bytes = this.kernel.get(this.key.encode(key));
    return bytes === undefined ? undefined : this.value.decode(bytes);
  }

  set(key: K, value: V): void {
    this.kernel.set(this.key.encode(key), this.value.encode(value));
  }

  *entries(batchSize?: number): Generator<{ key: K; value: V }> {
    for (const entry of this.kernel.entries(batchSize)) {
      yield { key: this.key.decode(entry.key), value: this.value.decode(entry.value) };
    }
  }

  /** Of a per-CPU map: every CPU's value of every entry. */
  *perCpuEntries(batchSize?: number): Generator<{ key: K; values: V[] }> {
    for (const entry of this.kernel.entries(batchSize)) {
      yield { key: this.key.decode(entry.key), values: decodePerCpu(this.value, entry.value) };
    }
  }
}

export type Maps = { readonly [N in MapName]: TypedMap<KeyOf<N>, ValueOf<N>> };

/** Gives every map its types. `kernel` is asked for each map by name. */
export function typedMaps(kernel: (name: MapName) => KernelMap & { info?: { maxEntries: number } }): Maps {
  const maps: Partial<Record<MapName, unknown>> = {};
  for (const name of mapNames) {
    const definition = mapDefinitions[name];
    const map = kernel(name);
    const maxEntries = map.info?.maxEntries ?? definition.maxEntries;
    maps[name] = new TypedMap<unknown, unknown>(
      name,
      map,
      definition.key as Codec<unknown>,
      definition.value as Codec<unknown>,
      maxEntries,
    );
  }
  return maps as Maps;
}

export const mapNames = Object.keys(mapDefinitions) as MapName[];
