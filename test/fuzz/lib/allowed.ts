// The differences that are allowed: each is explained in docs/fuzzing.md, under the same name.

import { type Effects, type Ports, sameEffects } from "./compare.js";
import {
  addressBytes,
  ethernetLength,
  flag,
  fold,
  macBytes,
  protocol,
  pseudoSum,
  replace16,
  sumWords,
} from "./frame.js";
import type { Arrival } from "./player.js";
import type { FrameStep, Through } from "./script.js";
import { hasFlag, portField, read16, untagged, type View, view } from "./view.js";
import { containerAt, containers, gateway, host, isHostAddress, neighbour, type Place } from "./world.js";

/** What a rule is asked about. */
export interface Question {
  readonly step: FrameStep;
  /** The frame as fairway's host got it. */
  readonly sent: Uint8Array;
  readonly effects: Effects;
  readonly ports: Ports;
  /** What has been odd in this connection so far, this step included. */
  readonly odd: ReadonlySet<Oddity>;
}

/** "rst": there was a RST. "slow-syn": there was a SYN that only the kernel can handle. */
export type Oddity = NonNullable<FrameStep["odd"]> | "rst" | "slow-syn";

const rules = {
  /** What follows the IP packet in its frame stays there. */
  padding: ({ step, effects, ports }: Question): boolean =>
    sameEffects(
      step,
      { docker: effects.docker.map(withoutPadding), fairway: effects.fairway.map(withoutPadding) },
      ports,
    ),

  /** Within a network a frame is delivered as it is, whatever IP packet it holds. */
  "bridge-as-is": ({ step, sent, effects }: Question): boolean =>
    step.through?.bridged === true &&
    isBrokenOrFragment(sent) &&
    deliveredAs(effects.fairway, step.through.place, sent),

  /** A packet with a wrong TCP or UDP checksum is translated and stays as wrong as it was. */
  "bad-checksum": ({ step, sent, effects }: Question): boolean =>
    step.offload === undefined && hasBadChecksum(sent) && isSomeTranslation(step, sent, effects.fairway),

  /** A TCP segment that the kernel's tracker refuses is the other end's to judge. */
  "tcp-state": ({ step, sent, effects, odd }: Question): boolean =>
    odd.size > 0 &&
    isKnown(verdict(step, sent, effects.fairway)) &&
    verdict(step, sent, effects.docker) !== "other",

  /** What a SYN means in the midst of a connection that breaks TCP's rules depends on what the tracker has seen of it. */
  "odd-syn": ({ step, sent, effects, odd }: Question): boolean =>
    odd.has("tcp") &&
    hasFlag(untagged(sent), flag.syn) &&
    [effects.docker, effects.fairway].every((one) => verdict(step, sent, one) !== "other"),

  /** fairway takes any RST for the end of a connection, whatever its sequence: what comes after it meets none, or one still. */
  reset: ({ step, sent, effects, odd }: Question): boolean => {
    if (!odd.has("rst") || !(odd.has("tcp") || odd.has("ip"))) return false;
    // What tells of a packet of such a connection is one's who knows it.
    const quotes = view(sent)?.proto !== protocol.tcp;
    const all = [...effects.docker, ...effects.fairway];
    if (quotes) return all.every(({ place }) => place === step.through?.place);
    return [effects.docker, effects.fairway].every((one) => verdict(step, sent, one) !== "other");
  },

  /**
   * A packet that only the kernel can handle, of a TCP connection that its tracker has not seen yet, or of which it has seen
   * nothing but a SYN that came that way.
   */
  untracked: ({ step, sent, effects, odd }: Question): boolean =>
    (step.odd === "ip" || odd.has("slow-syn")) &&
    step.through?.bridged === false &&
    view(untagged(sent))?.proto === protocol.tcp &&
    isKnown(verdict(step, sent, effects.docker)) &&
    ["unknown", "answered"].includes(verdict(step, sent, effects.fairway)),

  /** What docker-proxy's listener says, or says no more a second later, in a connection that it has half open. */
  listener: ({ step, sent, effects }: Question): boolean => {
    const all = [...effects.docker, ...effects.fairway];
    return (
      all.length === 1 && all.every(({ place, frame }) => place === step.from && isListeners(sent, frame))
    );
  },
};

export type Allowed = keyof typeof rules;

export const allowedNames = Object.keys(rules) as Allowed[];

/** The allowed difference that this is, if any. */
export function allowedDifference(question: Question): Allowed | undefined {
  return allowedNames.find((name) => rules[name](question));
}

/**
 * What a host took a packet for. "translated": one of a connection that it knows, and its NAT was applied. "expired": the
 * same, but its TTL is over, and the host says so. "unknown": of none, and it left as it came, or was dropped. "answered": of
 * none, and the host's own TCP answered it. "other": none of these.
 */
type Verdict = "translated" | "expired" | "unknown" | "answered" | "other";

const isKnown = (one: Verdict): boolean => one === "translated" || one === "expired";

function verdict(step: FrameStep, sent: Uint8Array, arrivals: readonly Arrival[]): Verdict {
  if (arrivals.length === 0) return "unknown";
  if (isSomeTranslation(step, sent, arrivals)) return "translated";
  const before = view(untagged(sent));
  if (!before) return "other";
  const is = (test: (frame: Buffer, seen: View, place: Place) => boolean) =>
    arrivals.every(({ place, frame }) => {
      const seen = view(frame);
      return seen !== undefined && test(frame, seen, place);
    });
  const { source, destination } = before;
  const atEnd = (place: Place) => place === step.through?.place || place === "outside";
  if (is((_, seen, place) => atEnd(place) && seen.source === source && seen.destination === destination))
    return "unknown";
  const back = (seen: View, place: Place) => place === step.from && seen.destination === source;
  if (is((frame, seen, place) => back(seen, place) && seen.source === destination && isFromTcp(frame, seen)))
    return "answered";
  if (is((frame, seen, place) => back(seen, place) && isTimeExceeded(frame, seen))) return "expired";
  // Fragments and options: not byte by byte, but from whom and to whom.
  const { through } = step;
  if (through && is((_, seen, place) => place === through.place && isOf(seen, through))) return "translated";
  return "other";
}

const isOf = (seen: View, through: Through): boolean =>
  seen.source === through.source && seen.destination === through.destination;

/** Whether a frame is the host's TCP's refusal, or its listener's answer. */
const isFromTcp = (frame: Buffer, { l4, proto }: View): boolean =>
  l4 !== undefined &&
  proto === protocol.tcp &&
  [...refusals, flag.syn | flag.ack].includes(frame[l4 + 13] ?? 0);

const isTimeExceeded = (frame: Buffer, { l4, proto }: View): boolean =>
  l4 !== undefined &&
  ((proto === protocol.icmp && frame[l4] === 11) || (proto === protocol.icmp6 && frame[l4] === 3));

const refusals: readonly number[] = [flag.ack, flag.rst, flag.rst | flag.ack];

/** Whether a frame is an ACK or RST of the host's own, from the published port that the packet was for. */
function isListeners(sent: Uint8Array, frame: Uint8Array): boolean {
  const asked = view(sent);
  const seen = view(frame);
  if (asked?.l4 === undefined || seen?.l4 === undefined || seen.proto !== protocol.tcp) return false;
  if (!isHostAddress(seen.source) || seen.source !== asked.destination) return false;
  const port = read16(sent, asked.l4 + 2);
  const isPublishedPort = containers.some(({ published }) =>
    published.some(({ proto, hostPort }) => proto === "tcp" && hostPort === port),
  );
  return isPublishedPort && refusals.includes(frame[seen.l4 + 13] ?? 0);
}

/** The frame up to where IP's length says that it ends. */
function withoutPadding(arrival: Arrival): Arrival {
  const { frame } = arrival;
  const seen = view(frame);
  if (!seen) return arrival;
  return { ...arrival, frame: frame.subarray(0, seen.ip + ipLength(frame, seen)) };
}

const ipLength = (frame: Uint8Array, { ip, family }: View) =>
  family === 4 ? read16(frame, ip + 2) : read16(frame, ip + 4) + 40;

/** What the kernel's bridge, filtering, reassembles or throws away. */
export function isBrokenOrFragment(frame: Uint8Array): boolean {
  const seen = view(frame);
  if (!seen) return true;
  const { ip, family } = seen;
  if ((read16(frame, 12) === 0x0800) !== (family === 4)) return true;
  if (ipLength(frame, seen) > frame.length - ethernetLength) return true;
  if (family === 6) return [0, 43, 44, 60].includes(frame[ip + 6] ?? 0);
  const header = ((frame[ip] ?? 0) & 15) * 4;
  if (header < 20 || ipLength(frame, seen) < header || frame.length < ip + header) return true;
  if (header > 20 || fold(sumWords(frame, ip, ip + header, 0)) !== 0) return true;
  return (read16(frame, ip + 6) & 0x3fff) !== 0;
}

/** Whether a whole TCP or UDP packet's checksum is wrong, or its headers can't be. */
export function hasBadChecksum(frame: Uint8Array): boolean {
  const seen = view(frame);
  if (seen?.l4 === undefined || isBrokenOrFragment(frame)) return false;
  const { l4, proto, source, destination } = seen;
  const end = seen.ip + ipLength(frame, seen);
  if (proto !== protocol.tcp && proto !== protocol.udp) return false;
  if (proto === protocol.udp && read16(frame, l4 + 6) === 0) return false;
  // As the tracker has it: over all of the packet, whatever UDP's own length says.
  const sum = pseudoSum(addressBytes(source), addressBytes(destination), proto, end - l4);
  return fold(sumWords(frame, l4, end, sum)) !== 0;
}

const deliveredAs = (arrivals: readonly Arrival[], place: string, frame: Uint8Array): boolean =>
  arrivals.length === 1 && arrivals[0]?.place === place && arrivals[0].frame.equals(frame);

/** Whether the packet came to the connection's other end, only there, and as this connection's NAT makes it. */
function isTranslated({ through }: FrameStep, sent: Uint8Array, arrivals: readonly Arrival[]): boolean {
  const [arrival] = arrivals;
  if (!through || !arrival || arrivals.length > 1 || arrival.place !== through.place) return false;
  if (through.bridged) return arrival.frame.equals(sent);
  const expected = translate(sent, through, arrival.frame);
  return expected !== undefined && arrival.frame.equals(expected);
}

/** Whether the packet came where it belongs: in its connection, or in another that its ports stand for. */
const isSomeTranslation = (step: FrameStep, sent: Uint8Array, arrivals: readonly Arrival[]): boolean =>
  isTranslated(step, sent, arrivals) ||
  isMasqueraded(step, sent, arrivals) ||
  isPublished(step, sent, arrivals);

/** Whether a packet from outside came to the container that publishes the port that it is for. */
function isPublished({ from }: FrameStep, sent: Uint8Array, arrivals: readonly Arrival[]): boolean {
  const [arrival] = arrivals;
  const before = view(sent);
  const port = before && portField(sent, before, "destination");
  if (from !== "outside" || !arrival || arrivals.length > 1 || !before || !port) return false;
  const to = containerAt.get(arrival.place);
  const published = to?.published.find(
    (one) => one.hostPort === read16(sent, port.at) && protocol[one.proto] === before.proto,
  );
  if (!to || !published) return false;
  const through = {
    place: to.place,
    bridged: false,
    sourceMac: to.network.mac,
    destinationMac: to.mac,
    source: before.source,
    destination: to.addresses[before.family],
    dport: published.port,
  };
  const expected = translate(sent, through, arrival.frame);
  return expected !== undefined && arrival.frame.equals(expected);
}

const portAt = (frame: Uint8Array, seen: View): number | undefined => {
  const field = portField(frame, seen, "destination");
  return field && read16(frame, field.at);
};

/** Whether a container's packet left with one of the host's addresses, and is otherwise as it was. */
function isMasqueraded({ from }: FrameStep, sent: Uint8Array, arrivals: readonly Arrival[]): boolean {
  const [arrival] = arrivals;
  if (from === "outside" || !arrival || arrivals.length > 1 || arrival.place !== "outside") return false;
  const before = view(sent);
  const after = view(arrival.frame);
  const port = before && portField(sent, before, "destination");
  if (!before || !after || !port || !isHostAddress(after.source)) return false;
  const through = {
    place: "outside" as const,
    bridged: false,
    sourceMac: host.mac,
    destinationMac: before.destination === neighbour.addresses[before.family] ? neighbour.mac : gateway.mac,
    source: after.source,
    destination: before.destination,
    // The port that it answers may have been NAT's choice, for another connection.
    dport: portAt(arrival.frame, after) ?? read16(sent, port.at),
  };
  const expected = translate(sent, through, arrival.frame);
  return expected !== undefined && arrival.frame.equals(expected);
}

/** The packet as its other end should get it; the port that NAT chose is taken from what arrived. */
function translate(sent: Uint8Array, through: Through, arrived: Uint8Array): Buffer | undefined {
  const frame = Buffer.from(sent);
  const seen = view(frame);
  const source = seen && portField(frame, seen, "source");
  const destination = seen && portField(frame, seen, "destination");
  if (!seen || !source || !destination) return undefined;
  const { ip, family } = seen;
  frame.set(macBytes(through.destinationMac), 0);
  frame.set(macBytes(through.sourceMac), 6);
  const header = family === 4 ? [ip + 10] : [];
  const length = family === 4 ? 4 : 16;
  const at = ip + (family === 4 ? 12 : 8);
  [through.source, through.destination].forEach((text, which) => {
    const bytes = addressBytes(text);
    for (let i = 0; i < length; i += 2)
      replace16(frame, at + which * length + i, read16(bytes, i), [...header, ...source.checksums]);
  });
  const ttl = ip + (family === 4 ? 8 : 7);
  if (family === 4) replace16(frame, ttl, read16(frame, ttl) - 256, header);
  else frame[ttl] = (frame[ttl] ?? 0) - 1;
  replace16(frame, source.at, read16(arrived, source.at), source.checksums);
  replace16(frame, destination.at, through.dport, destination.checksums);
  return frame;
}
