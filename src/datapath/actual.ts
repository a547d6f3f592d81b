import { type Endpoint, endpointCodec } from "../generated/index.js";
import type { MapBatch } from "../native/index.js";
import type { KernelMap, Maps } from "./maps.js";

/** The maps that the control plane fills, as hash tables of bytes: what is compared is what the kernel holds. */
export const FILLED_MAPS = [
  "endpoint_devices",
  "endpoint_addresses_ipv4",
  "endpoint_addresses_ipv6",
  "fdb",
  "ports_ipv4",
  "ports_ipv6",
  "host_addresses_ipv4",
  "host_addresses_ipv6",
  "host_dialled",
  "host_ports",
  "parent_subnets_ipv4",
  "parent_subnets_ipv6",
  "uplinks",
] as const;
export type FilledMap = (typeof FILLED_MAPS)[number];

/** One entry in the kernel's layout. */
export interface RawEntry {
  key: Buffer;
  value: Buffer;
}

/** What the kernel's maps hold. */
export interface ActualState {
  /** By slot; only those in use. */
  endpoints: Map<number, Endpoint>;
  nextGeneration: number;
  /** By the key's bytes as hexadecimal text. */
  filled: Record<FilledMap, Map<string, RawEntry>>;
}

/** What was read of a map, as the kernel gave it: the same bytes as long as nobody writes to it. */
type Dump = Pick<MapBatch, "keys" | "values" | "count">[];

/** The maps that the control plane fills, undecoded. */
export interface RawState {
  endpoints: Dump;
  nextGeneration: number;
  filled: Record<FilledMap, Dump>;
}

/**
 * Reads the maps that the control plane fills.
 * @param slots how many slots of the endpoints array to look at, from the first on; the rest is known to be free
 */
export function readRaw(maps: Maps, slots: number): RawState {
  const filled: Partial<RawState["filled"]> = {};
  for (const name of FILLED_MAPS) filled[name] = dump(maps[name].kernel, Number.POSITIVE_INFINITY);
  return {
    endpoints: dump(maps.endpoints.kernel, slots),
    nextGeneration: maps.control.get(0)?.nextGeneration ?? 0,
    filled: filled as RawState["filled"],
  };
}

/** Whether two readings are the same to the byte. False where nothing but the order of entries differs. */
export function isSameRaw(a: RawState, b: RawState): boolean {
  return (
    a.nextGeneration === b.nextGeneration &&
    isSameDump(a.endpoints, b.endpoints) &&
    FILLED_MAPS.every((name) => isSameDump(a.filled[name], b.filled[name]))
  );
}

/** What was read, decoded as far as it is compared with plans. */
export function decodeRaw(maps: Maps, raw: RawState): ActualState {
  const filled: Partial<ActualState["filled"]> = {};
  for (const name of FILLED_MAPS) {
    const entries = new Map<string, RawEntry>();
    const [keySize, valueSize] = [maps[name].key.size, maps[name].value.size];
    for (const { keys, values, count } of raw.filled[name]) {
      for (let i = 0; i < count; i++) {
        const key = keys.subarray(i * keySize, (i + 1) * keySize);
        entries.set(key.toString("hex"), { key, value: values.subarray(i * valueSize, (i + 1) * valueSize) });
      }
    }
    filled[name] = entries;
  }
  return {
    endpoints: decodeEndpoints(maps.endpoints, raw.endpoints),
    nextGeneration: raw.nextGeneration,
    filled: filled as ActualState["filled"],
  };
}

function dump(map: KernelMap, most: number): Dump {
  const batches: Dump = [];
  let cursor: Buffer | undefined;
  for (let read = 0; read < most; ) {
    const { cursor: next, ...batch } = map.getBatch(cursor, Math.min(1024, most - read));
    batches.push(batch);
    read += batch.count;
    cursor = next;
    if (cursor === undefined || batch.count === 0) break;
  }
  return batches;
}

function isSameDump(a: Dump, b: Dump): boolean {
  return (
    a.length === b.length &&
    a.every(({ keys, values }, at) => {
      const other = b[at];
      return other !== undefined && keys.equals(other.keys) && values.equals(other.values);
    })
  );
}

/** A free slot is all zero. */
const FREE_ENDPOINT = endpointCodec.decode(Buffer.alloc(endpointCodec.size));
/** Where in an endpoint its generation lies. */
const GENERATION_OFFSET = endpointCodec.encode({ ...FREE_ENDPOINT, generation: 1 }).indexOf(1);

/** The slots in use. Most of 16,384 are free: only the generation is read of those. */
function decodeEndpoints(map: Maps["endpoints"], batches: Dump): Map<number, Endpoint> {
  const endpoints = new Map<number, Endpoint>();
  for (const { keys, values, count } of batches) {
    for (let i = 0; i < count; i++) {
      if (values.readUInt32LE(i * map.value.size + GENERATION_OFFSET) === 0) continue;
      const slot = map.key.decode(keys, i * map.key.size);
      endpoints.set(slot, map.value.decode(values, i * map.value.size));
    }
  }
  return endpoints;
}

/** The state of a host that fairway has never been on. */
export function emptyActual(): ActualState {
  const filled = Object.fromEntries(FILLED_MAPS.map((name) => [name, new Map<string, RawEntry>()]));
  return { endpoints: new Map(), nextGeneration: 0, filled: filled as ActualState["filled"] };
}
