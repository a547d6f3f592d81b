import type { Endpoint, Port, PortKey, Uplink } from "../generated/index.js";
import type { Maps } from "./maps.js";

/** The maps that the control plane fills, as hash tables of bytes: what is compared is what the kernel holds. */
export const FILLED_MAPS = [
  "endpoint_devices",
  "endpoint_addresses",
  "fdb",
  "ports",
  "host_addresses",
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

/** Reads the maps that the control plane fills. 16,384 slots are a few batches; the rest is as big as the host is. */
export function readActual(maps: Maps): ActualState {
  const endpoints = new Map<number, Endpoint>();
  for (const { key, value } of maps.endpoints.kernel.entries(4096)) {
    // The generation comes first; most slots are free.
    if (value.readUInt32LE(0) === 0) continue;
    endpoints.set(maps.endpoints.key.decode(key), maps.endpoints.value.decode(value));
  }
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

/** The state of a host that fairway has never been on. */
export function emptyActual(): ActualState {
  const filled = Object.fromEntries(FILLED_MAPS.map((name) => [name, new Map<string, RawEntry>()]));
  return { endpoints: new Map(), nextGeneration: 0, filled: filled as ActualState["filled"] };
}

export type { Endpoint, Port, PortKey, Uplink };
