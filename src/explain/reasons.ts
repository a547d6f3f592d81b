import { Reason, ReasonName } from "../generated/index.js";

/** What each reason means to whoever asks why a packet was not fast, as the rest of a sentence. */
const MEANINGS: Readonly<Record<Exclude<Reason, typeof Reason.NONE | typeof Reason.MAX>, string>> = {
  [Reason.NOT_IP]: "it goes by the kernel's bridge: no IP, or ICMPv6",
  [Reason.MALFORMED]: "its headers are cut short, or contradict each other",
  [Reason.IP_OPTIONS]: "its IP header has options or extensions",
  [Reason.FRAGMENT]: "it is a fragment: only the first has ports",
  [Reason.NOT_TCP_UDP]: "it is neither TCP nor UDP",
  [Reason.TTL_EXPIRED]: "its hops are used up: the kernel tells its sender",
  [Reason.NO_FLOW]: "nobody knows its connection, and it is not one's first packet",
  [Reason.TO_HOST]: "it is for one of the host's own addresses",
  [Reason.NOT_UNICAST]: "one of its addresses is multicast, broadcast, loopback or link-local",
  [Reason.FOREIGN_SOURCE]: "its source is not the endpoint's own address",
  [Reason.UNKNOWN_MAC]: "no endpoint of the network has the MAC that it is for",
  [Reason.BRIDGE_POLICY]: "rules for this network's bridge are the kernel's to apply",
  [Reason.NO_MASQUERADE]: "its network is not masqueraded, or to which address is the kernel's choice",
  [Reason.NO_ROUTE]: "there is no route, or none through an uplink",
  [Reason.TOO_BIG]: "it is larger than the way's MTU",
  [Reason.CONNTRACK_STATE]:
    "conntrack's entry of its connection is not in a state that fairway can go on with",
  [Reason.CONNTRACK_FAILED]:
    "no conntrack entry could be made: the table is full, the connection is there already, or no port is free",
  [Reason.STALE_FLOW]: "its endpoint has just gone, or changed",
  [Reason.FLOW_TABLE_FULL]: "the flow table has no room",
  [Reason.ANCHOR]: "once in a long TCP connection the kernel's tracker is shown a packet",
  [Reason.ENDPOINT_UNKNOWN]: "its device is no endpoint that fairway knows",
  [Reason.NO_NEIGHBOUR]:
    "the next hop's MAC is not known yet: the kernel asks for it, and what comes after is fast",
  [Reason.ASYMMETRIC_ROUTE]: "answers would leave by another device",
  [Reason.FILTERED]:
    "rules of the host's firewall may concern it and decide; what they let pass is learned, and fast from then on",
  [Reason.FROM_HOST]: "it is from the host itself",
  [Reason.TCP_CONTROL]: "it begins or ends a connection that the kernel's tracker follows",
  [Reason.REWRITE_FAILED]: "it could not be rewritten",
  [Reason.BAD_HEADER]: "no stack would accept its header",
  [Reason.MARTIAN]: "its source can't be outside",
  [Reason.SOURCE_DENIED]: "its source is on the host's deny list",
  [Reason.PORT_DENIED]: "the published port's lists refuse its source",
  [Reason.LIMITED]: "its source opens more connections a second than the published port takes",
  [Reason.UNREACHABLE]: "nobody has the address, though it is of a network that is routed here",
};

/** The same by name, in the order of enum reason. */
export const reasonMeanings: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(MEANINGS).map(([reason, meaning]) => [nameOfReason(Number(reason) as Reason), meaning]),
);

/** As in the metrics: "filtered". */
export function nameOfReason(reason: Reason): string {
  return ReasonName[reason] ?? String(reason);
}

/** "filtered: rules of ..." */
export function reasonText(reason: Reason): string {
  const name = nameOfReason(reason);
  const meaning = reasonMeanings[name];
  return meaning === undefined ? name : `${name}: ${meaning}`;
}
