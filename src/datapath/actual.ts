import { type Endpoint, endpointCodec } from "../generated/index.js";
import type { Maps } from "./maps.js";

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

/**
 * Reads the maps that the control plane fills.
 * @param slots how many slots of the endpoints array to look at, from the first on; the rest is known to be free
 */
export function readActual(maps: Maps, slots: number): ActualState {
  const endpoints = readEndpoints(maps.endpoints, slots);
  const filled: Partial<Record<FilledMap, Map<string, RawEntry>>> = {};
  for (const name of FILLED_MAPS) {
    const entries = new Map<string, RawEntry>();
    // Copied: what entries() gives are views of a batch.
    for (const { key, value } of maps[name].kernel.entries(1024)) {
      entries.set(key.toString("hex"), { key: Buffer.from(key), value: Buffer.from(value) });
    }
    filled[name] = entries;
  }
  return {
    endpoints,
    nextGeneration: maps.control.get(0)?.nextGeneration ?? 0,
    filled: filled as Record<FilledMap, Map<string, RawEntry>>,
  };
}

/** A free slot is all zero. */
const FREE_ENDPOINT = endpointCodec.decode(Buffer.alloc(endpointCodec.size));
/** Where in an endpoint its generation lies. */
const GENERATION_OFFSET = endpointCodec.encode({ ...FREE_ENDPOINT, generation: 1 }).indexOf(1);

/** The slots in use. Most of 16,384 are free: only the generation is read of those. */
export function readEndpoints(map: Maps["endpoints"], slots: number): Map<number, Endpoint> {
  const endpoints = new Map<number, Endpoint>();
  let cursor: Buffer | undefined;
  let read = 0;
  while (read < slots) {
    const batch = map.kernel.getBatch(cursor, Math.min(1024, slots - read));
    for (let i = 0; i < batch.count; i++) {
      if (batch.values.readUInt32LE(i * map.value.size + GENERATION_OFFSET) === 0) continue;
      const slot = map.key.decode(batch.keys, i * map.key.size);
      endpoints.set(slot, map.value.decode(batch.values, i * map.value.size));
    }
    read += batch.count;
    cursor = batch.cursor;
    if (cursor === undefined || batch.count === 0) break;
  }
  return endpoints;
}

/** The state of a host that fairway has never been on. */
export function emptyActual(): ActualState {
  const filled = Object.fromEntries(FILLED_MAPS.map((name) => [name, new Map<string, RawEntry>()]));
  return { endpoints: new Map(), nextGeneration: 0, filled: filled as ActualState["filled"] };
}
