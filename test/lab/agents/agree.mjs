// Compares the flow tables with the kernel's conntrack again and again until SIGUSR1. Run on the lab's host.
//
//   node agree.mjs MAPS-DIR GRACE-MS
//
// Every flow entry that holds must have a conntrack entry with its tuples. One table is read after the other, so that a
// connection may come or go between, and a flow entry looks after its conntrack entry once a second: what still forwards
// GRACE-MS after it was first missing there is a disagreement. Idle ones are only waiting for the sweep. Prints {"rounds",
// "compared","mostFlows","mostIdle","missing"}.

import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  controlCodec,
  endpointCodec,
  FLOW_TICK_SHIFT,
  mapDefinitions,
  SLOT_OUTSIDE,
} from "../../../dist/generated/index.js";
import { BpfMap, listConntrack } from "../../../dist/native/index.js";

const [dir, grace] = process.argv.slice(2);
const families = [4, 6].filter((family) => existsSync(join(dir, `flows_ipv${family}`)));
const open = (name) => BpfMap.openPinned(join(dir, name));
const control = open("control");
const endpoints = open("endpoints");
const tables = families.map((family) => ({
  map: open(`flows_ipv${family}`),
  key: mapDefinitions[`flows_ipv${family}`].key,
  value: mapDefinitions[`flows_ipv${family}`].value,
}));

let ended = false;
process.once("SIGUSR1", () => {
  ended = true;
});
console.log("ready");

const report = { rounds: 0, compared: 0, mostFlows: 0, mostIdle: 0, missing: [] };
/** By entry: since when. */
let missing = new Map();
while (!ended) {
  compare();
  await new Promise((resolve) => setTimeout(resolve, 100));
}
console.log(JSON.stringify(report));

function compare() {
  const known = knownConnections();
  const { epoch } = controlCodec.decode(control.get(u32(0)));
  const flows = tables.flatMap(readFlows).filter((flow) => holds(flow.value.flow, epoch));
  for (const one of knownConnections()) known.add(one);
  const now = Number((process.hrtime.bigint() >> BigInt(FLOW_TICK_SHIFT)) & 0xffffffffn);
  const still = new Map();
  for (const { key, value } of flows) {
    const connection = connectionOf({ key, value });
    if (known.has(connection)) continue;
    const { origin, state, flowDirection, created, lastSeen } = value.flow;
    const id = `${connection} ${created}`;
    const since = missing.get(id) ?? now;
    still.set(id, since);
    // The clock wraps: a difference of 32 bits, signed.
    const afterMs = (((lastSeen - since) | 0) * 2 ** FLOW_TICK_SHIFT) / 1e6;
    if (afterMs > Number(grace) && report.missing.length < 5)
      report.missing.push({ id, origin, state, flowDirection, afterMs });
  }
  report.mostIdle = Math.max(report.mostIdle, still.size);
  missing = still;
  report.rounds++;
  report.compared += flows.length;
  report.mostFlows = Math.max(report.mostFlows, flows.length);
}

function readFlows({ map, key, value }) {
  const entries = [];
  for (const entry of map.entries(1024))
    entries.push({ key: key.decode(entry.key), value: value.decode(entry.value) });
  return entries;
}

function holds({ epoch: of, fromSlot, fromGeneration, toSlot, toGeneration }, epoch) {
  return of === epoch && endHolds(fromSlot, fromGeneration) && endHolds(toSlot, toGeneration);
}

function endHolds(slot, generation) {
  if (slot === SLOT_OUTSIDE) return true;
  const endpoint = endpoints.get(u32(slot));
  return endpoint !== undefined && endpointCodec.decode(endpoint).generation === generation;
}

/** Conntrack's two tuples: a packet of one direction becomes the inverse of the other direction's tuple. */
function connectionOf({ key, value }) {
  const arriving = tuple(key.proto, key.saddr, key.sport, key.daddr, key.dport);
  const answered = tuple(key.proto, value.daddr, value.flow.dport, value.saddr, value.flow.sport);
  return value.flow.flowDirection === 0 ? `${arriving} ${answered}` : `${answered} ${arriving}`;
}

function knownConnections() {
  const text = (one) => tuple(one.proto, one.saddr, one.sport, one.daddr, one.dport);
  const entries = families.flatMap((family) => listConntrack(family));
  return new Set(entries.map(({ original, reply }) => `${text(original)} ${text(reply)}`));
}

function tuple(proto, saddr, sport, daddr, dport) {
  return `${proto}:${saddr}.${sport}>${daddr}.${dport}`;
}

function u32(value) {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}
