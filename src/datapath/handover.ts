import type { Logger } from "pino";
import { errorMessage } from "../errors.js";
import { FlowDirection, FlowState, mapDefinitions } from "../generated/index.js";
import { FAMILIES, type Family } from "../ip.js";
import { BpfMap, type ConntrackTcpUpdate, updateConntrackTcp } from "../native/index.js";
import { familyMaps } from "./families.js";
import type { Pins } from "./pins.js";

const IPPROTO_TCP = 6;
/** TCP_CONNTRACK_* of linux/netfilter/nf_conntrack_tcp.h. */
const TCP_NONE = 0;
const TCP_ESTABLISHED = 3;
const BATCH = 1024;

/**
 * Makes the kernel's tracker fit to go on alone with the TCP connections of the flow tables. Entries that the programs made
 * may never have been seen by it (state NONE, in which an answer is invalid), and of all of them it has missed segments
 * (so its windows are wrong: liberal).
 * @returns how many connections were changed
 */
export function handOverFlows(pins: Pins, log: Logger): number {
  return FAMILIES.reduce((sum, family) => sum + handOverFamily(family, pins, log), 0);
}

function handOverFamily(family: Family, pins: Pins, log: Logger): number {
  const name = familyMaps.flows[family];
  let flows: BpfMap;
  try {
    flows = BpfMap.openPinned(pins.map(name));
  } catch {
    return 0;
  }
  try {
    const { info } = flows;
    const { key, value } = mapDefinitions[name];
    if (info.keySize !== key.size || info.valueSize !== value.size) {
      log.warn(
        "the pinned flow table is of another version: its connections are left to the tracker as they are",
      );
      return 0;
    }
    let changed = 0;
    let updates: ConntrackTcpUpdate[] = [];
    const flush = () => {
      updateConntrackTcp(updates);
      // The state only where the tracker has seen nothing, the windows everywhere.
      changed += updateConntrackTcp(updates.map(({ original }) => ({ original, liberal: true })));
      updates = [];
    };
    for (const entry of flows.entries(BATCH)) {
      const update = handOver(family, entry.key, entry.value);
      if (update !== undefined) updates.push(update);
      if (updates.length >= BATCH) flush();
    }
    flush();
    return changed;
  } catch (error) {
    log.error({ error: errorMessage(error) }, "connections could not be handed over to the kernel's tracker");
    return 0;
  } finally {
    flows.close();
  }
}

/** What has to be told of one flow entry; undefined where nothing has. Pure. */
export function handOver(
  family: Family,
  keyBytes: Buffer,
  valueBytes: Buffer,
): ConntrackTcpUpdate | undefined {
  const codecs = mapDefinitions[familyMaps.flows[family]];
  const key = codecs.key.decode(keyBytes);
  const { flow } = codecs.value.decode(valueBytes);
  // The original direction's key is conntrack's original tuple: one update per connection. Closed ones may end as they are.
  if (
    key.proto !== IPPROTO_TCP ||
    flow.flowDirection !== FlowDirection.ORIGINAL ||
    flow.state === FlowState.CLOSED
  ) {
    return undefined;
  }
  return {
    original: {
      family,
      proto: IPPROTO_TCP,
      saddr: key.saddr,
      daddr: key.daddr,
      sport: key.sport,
      dport: key.dport,
    },
    state: TCP_ESTABLISHED,
    onlyFrom: TCP_NONE,
    liberal: true,
  };
}
