import type { Maps } from "../datapath/maps.js";
import { SLOT_OUTSIDE } from "../generated/index.js";
import { type Address, ANY, type Family, formatAddress, parseAddress } from "../ip.js";
import { listConntrack } from "../native/index.js";
import { type Packet, protocolNumber } from "./frame.js";

type FlowTable = Maps["flows_ipv4"];
/** A flow entry and its key, of either family. */
export type FlowKey = Parameters<FlowTable["get"]>[0];
export type FlowEntry = NonNullable<ReturnType<FlowTable["get"]>>;

/** The family's flow table; both have the same fields. */
export const flowTable = (maps: Maps, family: Family): FlowTable => maps[`flows_ipv${family}`] as FlowTable;

/** The key of the packet's flow entry where it arrives. */
export function flowKeyOf(packet: Packet, family: Family, ifindex: number): FlowKey {
  return {
    ifindex,
    saddr: packet.source,
    daddr: packet.destination,
    sport: packet.sourcePort,
    dport: packet.destinationPort,
    proto: protocolNumber(packet.protocol, family),
  };
}

/** The key of the other direction's entry, as flow_answer_key() of bpf/lib/flow.h. */
function answerKeyOf({ flow, saddr, daddr }: FlowEntry, proto: number): FlowKey {
  return { ifindex: flow.ifindex, saddr: daddr, daddr: saddr, sport: flow.dport, dport: flow.sport, proto };
}

/**
 * Copies what is known of the packet's connection, and of its source, from the maps in use to a replica's: its flow entries, its tokens of a
 * limit, whether its port may be a masqueraded connection's.
 * @returns the flow entry; undefined: there is none
 */
export function copyKnown(
  packet: Packet,
  family: Family,
  ifindex: number,
  from: Maps,
  to: Maps,
): FlowEntry | undefined {
  const [flows, copies] = [flowTable(from, family), flowTable(to, family)];
  const key = flowKeyOf(packet, family, ifindex);
  const entry = flows.get(key);
  if (entry !== undefined) {
    copies.set(key, entry);
    const answerKey = answerKeyOf(entry, key.proto);
    const answer = flows.get(answerKey);
    if (answer !== undefined) copies.set(answerKey, answer);
  }
  const port = packet.destinationPort;
  to.masquerade_ports.set(port, from.masquerade_ports.get(port) ?? 0);
  copyLimit(packet, family, from, to);
  return entry;
}

/** The tokens that the source has of the published port's limit, as limit_take() of bpf/lib/policy.h finds them. */
function copyLimit(packet: Packet, family: Family, from: Maps, to: Maps): void {
  const policies = from[`port_policies_ipv${family}`] as Maps["port_policies_ipv4"];
  const [limits, copies] = [from[`limits_ipv${family}`], to[`limits_ipv${family}`]] as Maps["limits_ipv4"][];
  const proto = protocolNumber(packet.protocol, family);
  const portKey = { address: packet.destination, port: packet.destinationPort, proto };
  const policy = policies.get(portKey) ?? policies.get({ ...portKey, address: ANY[family] });
  if (policy === undefined || policy.limit === 0) return;
  const key = { list: policy.list, source: limitedAs(packet.source), port: packet.destinationPort, proto };
  const tokens = limits?.get(key);
  if (tokens !== undefined) copies?.set(key, tokens);
}

/** An IPv6 source counts as its /64. */
function limitedAs(address: Address): Address {
  const bytes = parseAddress(address);
  if (bytes?.length !== 16) return address;
  return formatAddress(bytes.slice().fill(0, 8), 0, 6);
}

/** Whether conntrack knows the packet's tuple, in either direction. */
export function isInConntrack(packet: Packet, family: Family): boolean {
  const proto = protocolNumber(packet.protocol, family);
  return listConntrack(family).some((entry) =>
    [entry.original, entry.reply].some(
      (tuple) =>
        tuple.proto === proto &&
        tuple.saddr === packet.source &&
        tuple.daddr === packet.destination &&
        tuple.sport === packet.sourcePort &&
        tuple.dport === packet.destinationPort,
    ),
  );
}

export const isToOutside = ({ flow }: FlowEntry): boolean => flow.toSlot === SLOT_OUTSIDE;
