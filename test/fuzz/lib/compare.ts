// Compares what one step caused on both hosts. What must differ between two kernels is made alike first: nothing else.

import { addressBytes, flag, fold, protocol, replace16, sumWords } from "./frame.js";
import type { Arrival } from "./player.js";
import type { FrameStep, Through } from "./script.js";
import { isIcmpError, portField, read16, type View, view, viewIp } from "./view.js";
import { isHostAddress, type Place } from "./world.js";

export const sideNames = ["docker", "fairway"] as const;
export type SideName = (typeof sideNames)[number];
export type Both<T> = Readonly<Record<SideName, T>>;

/** What a step caused on both hosts. */
export type Effects = Both<readonly Arrival[]>;

/** What the two kernels chose during one script: NAT's ports, and where the host's own sequences begin. */
export class Ports {
  /** By side: the step to the port that its packet had when it arrived outside. */
  readonly learned: Both<Map<number, number>> = { docker: new Map(), fairway: new Map() };
  /** The ports that each side's kernel chose at random for the same connection. */
  #chosen = new Map<string, Both<number>>();
  #pairs = new Set<number>();
  #taken: Both<Set<number>> = { docker: new Set(), fairway: new Set() };
  /** How far the host's own sequence is from Docker's to fairway's, by the connection that its peer has. */
  #apart = new Map<string, number>();

  /** Remembers the source port that a connection's packet had when its other end got it, as the player does (player.c). */
  learn(side: SideName, index: number, { through }: FrameStep, arrivals: readonly Arrival[]): void {
    if (!through) return;
    for (const { place, frame } of arrivals) {
      const seen = place === through.place ? view(frame) : undefined;
      const field = seen && isBetween(frame, seen, through) && portField(frame, seen, "source");
      if (!field) continue;
      this.learned[side].set(index, read16(frame, field.at));
      return;
    }
  }

  /** Whether two different source ports of the same packet are both kernels' right. */
  bothChosen({ frame }: FrameStep, docker: number, fairway: number): boolean {
    const seen = view(frame);
    const field = seen && portField(frame, seen, "source");
    if (!seen || !field) return false;
    const own = read16(frame, field.at);
    // A port that was free on one side, and taken on the other by an earlier choice at random.
    if (docker === own) return this.#taken.fairway.has(own);
    if (fairway === own) return this.#taken.docker.has(own);
    const far = portField(frame, seen, "destination");
    const key = [seen.proto, seen.source, own, seen.destination, far && read16(frame, far.at)].join();
    const before = this.#chosen.get(key);
    // The connection may have been made anew in the meantime: then both are new.
    if (before && (before.docker === docker) !== (before.fairway === fairway)) return false;
    this.#chosen.set(key, { docker, fairway });
    this.#pairs.add(docker * 65536 + fairway);
    this.#taken.docker.add(docker);
    this.#taken.fairway.add(fairway);
    return true;
  }

  /** Remembers how far the first sequences of a connection of the host's own are from each other. */
  beginsApart(connection: string, distance: number): void {
    this.#apart.set(connection, distance);
  }

  isApart(connection: string, distance: number): boolean {
    return this.#apart.get(connection) === distance;
  }

  /** Whether these are the ports that this very step was given. */
  wereSent({ learned }: FrameStep, docker: number, fairway: number): boolean {
    if (!learned) return false;
    const { learned: by } = this;
    return by.docker.get(learned.of) === docker && by.fairway.get(learned.of) === fairway;
  }

  get pairs(): readonly (readonly [docker: number, fairway: number])[] {
    return [...this.#pairs].map((pair) => [Math.floor(pair / 65536), pair % 65536]);
  }

  isPair(docker: number, fairway: number): boolean {
    return this.#pairs.has(docker * 65536 + fairway);
  }
}

/** Whether a packet has these addresses. */
function isBetween(frame: Buffer, { ip, family }: View, { source, destination }: Through): boolean {
  const at = ip + (family === 4 ? 12 : 8);
  return [source, destination].every((text, which) => {
    const bytes = addressBytes(text);
    const from = at + which * bytes.length;
    return (
      bytes.length === (family === 4 ? 4 : 16) &&
      frame.compare(bytes, 0, bytes.length, from, from + bytes.length) === 0
    );
  });
}

/** The order in which arrivals of one step are compared: by place, then as they came. */
function byPlace(arrivals: readonly Arrival[]): Arrival[] {
  return arrivals.length < 2 ? [...arrivals] : arrivals.toSorted((a, b) => compareText(a.place, b.place));
}

const compareText = (a: Place, b: Place) => (a < b ? -1 : a > b ? 1 : 0);

/** Whether a step caused the same on both hosts. */
export function sameEffects(step: FrameStep, effects: Effects, ports: Ports): boolean {
  if (effects.docker.length !== effects.fairway.length) return false;
  const docker = byPlace(effects.docker);
  const fairway = byPlace(effects.fairway);
  return docker.every((one, i) => {
    const other = fairway[i];
    return other !== undefined && sameArrival(step, one, other, ports);
  });
}

/** Whether two arrivals are the same, whichever side is which. */
export function sameArrival(step: FrameStep, docker: Arrival, fairway: Arrival, ports: Ports): boolean {
  if (docker.place !== fairway.place || docker.vlan !== fairway.vlan) return false;
  if (
    docker.offload.gsoSize !== fairway.offload.gsoSize ||
    docker.offload.gsoType !== fairway.offload.gsoType
  )
    return false;
  if (docker.frame.equals(fairway.frame)) return true;
  if (docker.frame.length !== fairway.frame.length) return false;
  const one = normal(step, docker);
  const other = normal(step, fairway);
  if (one.equals(other)) return true;
  hidePorts(step, one, other, ports);
  hideSequence(step, one, other, ports);
  hideLateChecksum(one, other, ports);
  return one.equals(other);
}

/** A frame without what two kernels can't have in common, and with the checksum that a network card would have filled in. */
function normal(step: FrameStep, { frame, offload }: Arrival): Buffer {
  const seen = view(frame);
  const copy = Buffer.from(frame);
  if (!seen) return copy;
  if (offload.flags & 1) {
    const at = offload.checksumStart + offload.checksumOffset;
    // The field holds the pseudo header's sum; a GSO packet's length is not a segment's, and both sides have it alike.
    const sum = fold(sumWords(copy, offload.checksumStart, copy.length, 0));
    copy.writeUInt16BE(sum, at);
  }
  hideFragmentId(copy, seen);
  if (isKernelsIcmp(step, copy, seen)) {
    // The kernel's own id; the header's checksum must fit it.
    const field = seen.ip + 4;
    replace16(copy, field, 0, [seen.ip + 10]);
  }
  return copy;
}

/** A router that fragments IPv6 anew, as connection tracking has it do, chooses an id of its own. */
function hideFragmentId(frame: Buffer, { family, ip }: View): void {
  if (family === 6 && frame[ip + 6] === 44 && frame.length >= ip + 48) frame.writeUInt32BE(0, ip + 44);
}

/** An error or an echo reply that a host's kernel made: with an id of its own choice. */
function isKernelsIcmp(step: FrameStep, frame: Uint8Array, seen: View): boolean {
  if (seen.family !== 4 || seen.proto !== protocol.icmp || seen.l4 === undefined) return false;
  const type = frame[seen.l4] ?? 0;
  if (type !== 0 && !isIcmpError(seen.proto, type)) return false;
  const asked = view(step.frame);
  return asked?.l4 === undefined || asked.proto !== protocol.icmp || step.frame[asked.l4] !== type;
}

/** Replaces ports that the two kernels chose differently, and rightly so, by 0 in both frames. */
function hidePorts(step: FrameStep, docker: Buffer, fairway: Buffer, ports: Ports): void {
  const one = view(docker);
  const other = view(fairway);
  if (!one || !other) return;
  hide(
    docker,
    fairway,
    portField(docker, one, "source"),
    [],
    (a, b) => ports.isPair(a, b) || ports.bothChosen(step, a, b),
  );
  hide(
    docker,
    fairway,
    portField(docker, one, "destination"),
    [],
    (a, b) => ports.isPair(a, b) || ports.wereSent(step, a, b),
  );
  if (one.l4 === undefined || !isIcmpError(one.proto, docker[one.l4] ?? 0)) return;
  const inner = viewIp(docker, one.l4 + 8);
  if (!inner) return;
  for (const which of ["source", "destination"] as const)
    hide(docker, fairway, portField(docker, inner, which), [one.l4 + 2], (a, b) => ports.isPair(a, b));
}

/** The host's own answer to a SYN begins a sequence of its kernel's choice, and what it says later follows from that. */
function hideSequence(step: FrameStep, docker: Buffer, fairway: Buffer, ports: Ports): void {
  const asked = view(step.frame);
  const seen = view(docker);
  if (asked?.l4 === undefined || seen?.l4 === undefined || asked.proto !== protocol.tcp) return;
  if (seen.proto !== protocol.tcp || !isHostAddress(seen.source)) return;
  const sequence = seen.l4 + 4;
  const sent = step.frame;
  const connection = [
    asked.source,
    asked.destination,
    read16(sent, asked.l4),
    read16(sent, asked.l4 + 2),
  ].join();
  const distance = (docker.readUInt32BE(sequence) - fairway.readUInt32BE(sequence)) >>> 0;
  const begins = ((sent[asked.l4 + 13] ?? 0) & (flag.syn | flag.ack)) === flag.syn;
  if (begins && docker[seen.l4 + 13] === (flag.syn | flag.ack)) ports.beginsApart(connection, distance);
  if (!ports.isApart(connection, distance)) return;
  for (const frame of [docker, fairway])
    for (const at of [sequence, sequence + 2]) replace16(frame, at, 0, [seen.l4 + 16]);
}

/**
 * TCP's checksum in a fragment that is not the first: it follows from the ports in that one, which the kernels may have chosen
 * differently.
 */
function hideLateChecksum(docker: Buffer, fairway: Buffer, ports: Ports): void {
  const seen = view(docker);
  if (seen?.family !== 4 || seen.l4 !== undefined || seen.proto !== protocol.tcp) return;
  const offset = (read16(docker, seen.ip + 6) & 0x1fff) * 8;
  const at = seen.ip + ((docker[seen.ip] ?? 0) & 15) * 4 + 16 - offset;
  if (offset === 0 || offset > 16 || at + 2 > docker.length) return;
  const follows = ports.pairs.some(
    ([one, other]) => (read16(docker, at) + one - read16(fairway, at) - other) % 0xffff === 0,
  );
  if (follows) for (const frame of [docker, fairway]) frame.writeUInt16BE(0, at);
}

function hide(
  docker: Buffer,
  fairway: Buffer,
  field: ReturnType<typeof portField>,
  outer: readonly number[],
  allowed: (docker: number, fairway: number) => boolean,
): void {
  if (!field) return;
  const a = read16(docker, field.at);
  const b = read16(fairway, field.at);
  if (a === b || !allowed(a, b)) return;
  if (outer.length > 0) {
    // Inside an ICMP error: the inner checksum is part of what the outer one covers, so both change nothing together.
    for (const frame of [docker, fairway]) {
      for (const at of field.checksums) if (at + 2 <= frame.length) replace16(frame, at, 0, outer);
      replace16(frame, field.at, 0, outer);
    }
    return;
  }
  for (const frame of [docker, fairway]) replace16(frame, field.at, 0, field.checksums);
}
