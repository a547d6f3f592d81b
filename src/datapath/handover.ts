import type { Logger } from "pino";
import { errorMessage } from "../errors.js";
import { FlowDirection, FlowState, flowCodec, flowKeyCodec, mapDefinitions } from "../generated/index.js";
import { formatIpv4 } from "../ipv4.js";
import { BpfMap, type ConntrackTcpUpdate, updateConntrackTcp } from "../native/index.js";

const IPPROTO_TCP = 6;
/** TCP_CONNTRACK_* of linux/netfilter/nf_conntrack_tcp.h. */
const TCP_NONE = 0;
const TCP_ESTABLISHED = 3;
const BATCH = 1024;

/**
 * Makes the kernel's tracker fit to go on alone with the TCP connections of the flow table. Entries that the programs made
 * may never have been seen by it (state NONE, in which an answer is invalid), and of all of them it has missed segments
 * (so its windows are wrong: liberal).
 * @param path of the pinned flow table
 * @returns how many connections were changed
 */
export function handOverFlows(path: string, log: Logger): number {
  let flows: BpfMap;
  try {
    flows = BpfMap.openPinned(path);
  } catch {
    return 0;
  }
  try {
    const { info } = flows;
    const { key, value } = mapDefinitions.flows;
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
      const update = handOver(entry.key, entry.value);
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
export function handOver(keyBytes: Buffer, valueBytes: Buffer): ConntrackTcpUpdate | undefined {
  const key = flowKeyCodec.decode(keyBytes);
  const flow = flowCodec.decode(valueBytes);
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
      family: 4,
      proto: IPPROTO_TCP,
      saddr: formatIpv4(key.saddr),
      daddr: formatIpv4(key.daddr),
      sport: key.sport,
      dport: key.dport,
    },
    state: TCP_ESTABLISHED,
    onlyFrom: TCP_NONE,
    liberal: true,
  };
}
