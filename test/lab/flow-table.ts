// The pinned flow tables, whatever address families there are.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { controlCodec, endpointCodec, mapDefinitions, SLOT_OUTSIDE } from "../../src/generated/index.js";
import { BpfMap } from "../../src/native/index.js";
import type { LabBase } from "./lib/lab.js";

type Place = Pick<LabBase, "bpffs">;

/** The flow tables, open; the caller closes them. */
export function openFlowTables({ bpffs }: Place): BpfMap[] {
  const maps = join(bpffs, "fairway", "maps");
  return readdirSync(maps)
    .filter((name) => /^flows(_ipv[46])?$/.test(name))
    .map((name) => BpfMap.openPinned(join(maps, name)));
}

/** Deletes every entry of the flow tables. Returns how many there were. */
export function flushFlows(place: Place): number {
  let deleted = 0;
  for (const map of openFlowTables(place)) {
    try {
      const { keySize } = map.info;
      // Deleting while walking would lose the place: first the keys, then they go.
      const keys: Buffer[] = [];
      for (const { key } of map.entries(1024)) keys.push(Buffer.from(key.subarray(0, keySize)));
      if (keys.length > 0) deleted += map.deleteBatch(Buffer.concat(keys));
    } finally {
      map.close();
    }
  }
  return deleted;
}

/** The entries of the flow tables that hold, as "device protocol source.port > destination.port becomes source.port > destination.port". */
export function listFlows(place: Place): string[] {
  return readFlows(place).flatMap(({ holds, text }) => (holds ? [text] : []));
}

/** The entries that don't: of an older epoch, or of an endpoint that is gone. */
export function listVoidFlows(place: Place): string[] {
  return readFlows(place).flatMap(({ holds, text }) => (holds ? [] : [text]));
}

function readFlows({ bpffs }: Place): { holds: boolean; text: string }[] {
  const open = (name: string) => BpfMap.openPinned(join(bpffs, "fairway", "maps", name));
  const control = open("control");
  const endpoints = open("endpoints");
  const key32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer);
  const record = control.get(key32(0));
  const epoch = record === undefined ? undefined : controlCodec.decode(record).epoch;
  const endHolds = (slot: number, generation: number) => {
    if (slot === SLOT_OUTSIDE) return true;
    const endpoint = endpoints.get(key32(slot));
    return endpoint !== undefined && endpointCodec.decode(endpoint).generation === generation;
  };
  try {
    return ([4, 6] as const).flatMap((family) => {
      const { key, value } = mapDefinitions[`flows_ipv${family}`];
      const map = open(`flows_ipv${family}`);
      try {
        return [...map.entries(1024)].map((entry) => {
          const from = key.decode(entry.key);
          const to = value.decode(entry.value);
          const { fromSlot, fromGeneration, toSlot, toGeneration } = to.flow;
          const holds =
            to.flow.epoch === epoch && endHolds(fromSlot, fromGeneration) && endHolds(toSlot, toGeneration);
          const arrives = `${from.saddr}.${from.sport} > ${from.daddr}.${from.dport}`;
          const leaves = `${to.saddr}.${to.flow.sport} > ${to.daddr}.${to.flow.dport}`;
          return { holds, text: `${from.ifindex} ${from.proto} ${arrives} becomes ${leaves}` };
        });
      } finally {
        map.close();
      }
    });
  } finally {
    control.close();
    endpoints.close();
  }
}
