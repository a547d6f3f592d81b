// What the datapath holds, in words that don't depend on when it came to be: endpoints by address, not by slot and generation.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { addressesOf } from "../../../src/datapath/families.js";
import { typedMaps } from "../../../src/datapath/maps.js";
import type { Endpoint } from "../../../src/generated/index.js";
import { BpfMap } from "../../../src/native/index.js";
import type { LabBase } from "../lib/lab.js";

/** The maps that the control plane fills for endpoints, ports and the host. */
const FILLED = [
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
  "host_devices",
  "uplinks",
] as const;

/** By map, its entries in words, sorted; "endpoints" and "links" (what is pinned) as well. */
export type DatapathState = Readonly<
  Record<(typeof FILLED)[number] | "endpoints" | "links", readonly string[]>
>;

/** Reads what is pinned. A reference to an endpoint that is gone is shown as "void". */
export function datapathState({ bpffs }: Pick<LabBase, "bpffs">): DatapathState {
  const opened: BpfMap[] = [];
  try {
    const maps = typedMaps((name) => {
      const map = BpfMap.openPinned(join(bpffs, "fairway", "maps", name));
      opened.push(map);
      return map;
    });
    const endpoints = new Map<number, Endpoint>();
    for (const { key, value } of maps.endpoints.entries(4096))
      if (value.generation !== 0) endpoints.set(key, value);
    const state: Record<string, readonly string[]> = {
      endpoints: [...endpoints.values()].map(({ generation: _, ...rest }) => inWords(rest, endpoints)).sort(),
      links: readdirSync(join(bpffs, "fairway", "links")).sort(),
    };
    const numbers = [maps.ports_ipv4, maps.ports_ipv6].flatMap((map) =>
      [...map.entries(1024)].map(({ value }) => value.number),
    );
    for (const name of FILLED) {
      const entries = [...maps[name].entries(1024)].map(({ key, value }) => ({
        key,
        value: withoutNumber(value, numbers),
      }));
      state[name] = entries
        .map(({ key, value }) => `${inWords(key, endpoints)} -> ${inWords(value, endpoints)}`)
        .sort();
    }
    return state as DatapathState;
  } finally {
    for (const map of opened) map.close();
  }
}

/** Which number a published port has is a matter of what came before; that it has one, and nobody else the same, is not. */
function withoutNumber(value: unknown, numbers: readonly number[]): unknown {
  if (typeof value !== "object" || value === null || !("number" in value)) return value;
  const same = numbers.filter((number) => number === value.number).length;
  return { ...value, number: value.number === 0 ? "none" : same === 1 ? "its own" : "another's too" };
}

/** As JSON; a slot with its generation becomes the endpoint's addresses. */
function inWords(value: unknown, endpoints: ReadonlyMap<number, Endpoint>): string {
  return JSON.stringify(value, (_key, one: unknown) => {
    if (typeof one === "bigint") return one.toString(16);
    if (one instanceof Uint8Array) return Buffer.from(one).toString("hex");
    if (typeof one !== "object" || one === null || !("slot" in one) || !("generation" in one)) return one;
    const { slot, generation, ...rest } = one as { slot: number; generation: number };
    const endpoint = endpoints.get(slot);
    const holds = endpoint !== undefined && endpoint.generation === generation;
    return { endpoint: holds ? addressesOf(endpoint).join(" ") : "void", ...rest };
  });
}
