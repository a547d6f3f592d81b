// From an end and a payload to steps: with the oddities that any packet can have.

import type { Connection, End } from "./ends.js";
import { type Ends, frame, type IpSpec, icmp, ipPacket, l4Offset, type Payload, protocol } from "./frame.js";
import type { Offload } from "./player.js";
import type { Random } from "./random.js";
import type { FrameStep, Learned, Through } from "./script.js";
import type { Family } from "./world.js";

/** Who a packet's steps belong to. */
export interface Origin {
  readonly flow: number;
  readonly name: string;
  /** The step that shows the port that NAT chose; undefined before the first packet. */
  readonly opened: number | undefined;
  /** Whether this is a packet of the connection's server. */
  readonly answers?: boolean;
}

export const endsOf = (family: Family, end: End): Ends => ({
  family,
  sourceMac: end.mac,
  destinationMac: end.nextMac,
  source: end.address,
  destination: end.peer,
});

/** Where a learned port goes. */
function learnedPort(
  origin: Origin,
  at: number,
  checksums: readonly number[],
  udp: boolean,
): Learned | undefined {
  if (!origin.answers || origin.opened === undefined) return undefined;
  return { at, checksums, of: origin.opened, ...(udp && { udp }) };
}

function step(
  end: End,
  origin: Origin,
  note: string,
  bytes: Uint8Array,
  learned: Learned | undefined,
  through?: Through,
): FrameStep {
  return {
    kind: "frame",
    from: end.place,
    frame: bytes,
    flow: origin.flow,
    note: `${origin.name}: ${note}`,
    ...(learned && { learned }),
    ...(through && { through }),
  };
}

/** The parts of an IP header that differ between ordinary packets. */
export function ordinaryIp(random: Random, family: Family, id: number): IpSpec {
  const tos = random.chance(0.05) ? random.below(256) : 0;
  const ttl = random.chance(0.1) ? random.pick([255, 128, 33, 3]) : 64;
  if (family === 6) return { ttl, tos, id: id & 0xfffff };
  return { ttl, tos, id: id & 0xffff, fragment: random.chance(0.7) ? 0x4000 : 0 };
}

/** A packet of a connection as it is, or with an oddity. */
export function send(
  random: Random,
  connection: Connection,
  end: End,
  origin: Origin,
  id: number,
  note: string,
  payload: Payload,
  odd?: "tcp",
): FrameStep[] {
  const { family } = connection;
  const ends = endsOf(family, end);
  const ip = ordinaryIp(random, family, id);
  const packet = {
    end,
    origin: { ...origin, answers: end === connection.server },
    note,
    ends,
    ip,
    payload,
    through: throughOf(connection, end),
  };
  // A TCP server's packets seldom: see "untracked" in docs/fuzzing.md.
  const seldom = connection.proto === "tcp" && end === connection.server;
  const steps =
    payload.segments !== undefined || random.chance(seldom ? 0.998 : 0.97)
      ? [plain(packet)]
      : random
          .pick(oddities)(random, packet)
          .map((one) => ({ ...one, odd: "ip" as const }));
  return odd ? steps.map((one) => ({ odd, ...one })) : steps;
}

function throughOf({ client, server }: Connection, end: End): Through | undefined {
  const other = end === client ? server : client;
  if (!other) return undefined;
  return {
    place: other.place,
    bridged: end.nextMac === other.mac,
    sourceMac: other.nextMac,
    destinationMac: other.mac,
    source: other.peer,
    destination: other.address,
    dport: other.sport,
  };
}

interface PortPlaces {
  /** The destination port's (or echo id's) offset from L4. */
  readonly port: number;
  readonly checksum: number | undefined;
}

function portPlaces({ number, bytes, segments }: Payload): PortPlaces {
  // A checksum that is yet to be filled in does not cover the ports.
  if (number === protocol.tcp) return { port: 2, checksum: segments === undefined ? 16 : undefined };
  if (number === protocol.udp) return { port: 2, checksum: bytes[6] || bytes[7] ? 6 : undefined };
  return { port: 4, checksum: 2 };
}

function plain({
  end,
  origin,
  note,
  ends,
  ip,
  payload,
  through,
  port = portPlaces(payload),
}: Packet): FrameStep {
  const l4 = l4Offset(ends.family, ip);
  const checksums = port.checksum === undefined ? [] : [l4 + port.checksum];
  const learned = learnedPort(origin, l4 + port.port, checksums, payload.number === protocol.udp);
  const one = step(end, origin, note, frame(ends, ip, payload), learned, through);
  const offload = offloadOf(ends.family, l4, payload);
  return { ...one, ...(offload && { offload }) };
}

/** What a network card is told of a packet of TCP that it is to finish; undefined: nothing. */
function offloadOf(family: Family, l4: number, { bytes, segments }: Payload): Offload | undefined {
  if (segments === undefined) return undefined;
  const headerLength = l4 + ((bytes[12] ?? 0) >> 4) * 4;
  const isLarge = segments > 0 && l4 + bytes.length > headerLength + segments;
  return {
    flags: 1, // VIRTIO_NET_HDR_F_NEEDS_CSUM
    gsoType: isLarge ? (family === 4 ? 1 : 4) : 0, // VIRTIO_NET_HDR_GSO_TCPV4, _TCPV6
    headerLength: isLarge ? headerLength : 0,
    gsoSize: isLarge ? segments : 0,
    checksumStart: l4,
    checksumOffset: 16,
  };
}

interface Packet {
  readonly end: End;
  readonly origin: Origin;
  readonly note: string;
  readonly ends: Ends;
  readonly ip: IpSpec;
  readonly payload: Payload;
  readonly through: Through | undefined;
  /** Where the ports are, when that is not where they always are. */
  readonly port?: PortPlaces;
}

type Oddity = (random: Random, packet: Packet) => FrameStep[];

/** The packet with a changed IP header. */
const withIp =
  (what: string, change: (random: Random, ip: IpSpec, packet: Packet) => IpSpec): Oddity =>
  (random, packet) => [
    plain({
      ...packet,
      note: `${packet.note}, ${what}`,
      ip: { ...packet.ip, ...change(random, packet.ip, packet) },
    }),
  ];

/** The packet with changed bytes. */
const withBytes =
  (what: string, change: (random: Random, frame: Uint8Array, packet: Packet) => Uint8Array): Oddity =>
  (random, packet) => {
    const one = plain({ ...packet, note: `${packet.note}, ${what}` });
    return [{ ...one, frame: change(random, one.frame.slice(), packet) }];
  };

/** IPv4 options: record route, timestamp, no-operation, source routes, router alert, and a broken one. */
const ipOptions = (random: Random): Uint8Array =>
  Uint8Array.from(
    random.pick([
      [1, 1, 1, 0],
      [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      [68, 12, 13, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      [131, 7, 4, 198, 18, 2, 1, 0],
      [137, 7, 4, 198, 18, 2, 1, 0],
      [148, 4, 0, 0],
      [7, 40, 4, 0],
      [134, 6, 0, 0, 0, 1, 0, 0],
    ]),
  );

/** IPv6 extension headers: hop by hop, destination options, routing, an atomic fragment. */
function extensions(random: Random): NonNullable<IpSpec["extensions"]> {
  return random.pick([
    [{ number: 0, bytes: Uint8Array.from([0, 0, 1, 4, 0, 0, 0, 0]) }],
    [{ number: 60, bytes: Uint8Array.from([0, 0, 1, 4, 0, 0, 0, 0]) }],
    [{ number: 43, bytes: Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0]) }],
    [{ number: 44, bytes: Uint8Array.from([0, 0, 0, 0, 0, 0, 0, random.below(256)]) }],
    [
      { number: 0, bytes: Uint8Array.from([0, 0, 1, 4, 0, 0, 0, 0]) },
      { number: 60, bytes: Uint8Array.from([0, 0, 1, 4, 0, 0, 0, 0]) },
    ],
  ]);
}

/** IPv6's header of a piece: at this offset, the last one or not, of the packet with this id. */
function fragmentHeader(
  offset: number,
  more: boolean,
  id: number,
): NonNullable<IpSpec["extensions"]>[number] {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint16(2, offset | (more ? 1 : 0));
  view.setUint32(4, id);
  return { number: 44, bytes };
}

/** A packet in pieces: in order, backwards, overlapping, or not all of them. */
const fragmented: Oddity = (random, packet) => {
  const { note, ends, ip, payload } = packet;
  const port = portPlaces(payload);
  const { number, bytes } = payload;
  if (bytes.length < 24) return [plain(packet)];
  const whole = bytes.slice();
  const cut = 8 * random.between(1, Math.floor((bytes.length - 1) / 8));
  const piece = (from: number, to: number, more: boolean, what: string) => {
    const spec: IpSpec =
      ends.family === 4
        ? { ...ip, fragment: (more ? 0x2000 : 0) | (from / 8) }
        : { ...ip, extensions: [fragmentHeader(from, more, ip.id ?? 0)] };
    const part = { number, bytes: whole.slice(from, to) };
    const checksum = port.checksum !== undefined && to - from >= port.checksum + 2 && from === 0;
    const places = { port: port.port, checksum: checksum ? port.checksum : undefined };
    const one = plain({ ...packet, note: `${note}, ${what}`, ip: spec, payload: part, port: places });
    // Only the first piece has the port; its checksum may be in another piece, and is wrong then.
    return from === 0 ? one : withoutLearned(one);
  };
  const first = piece(0, cut, true, "first fragment");
  const last = piece(cut, whole.length, false, "last fragment");
  return random.weighted<FrameStep[]>([
    [6, [first, last]],
    [2, [last, first]],
    [1, [first]],
    [1, [last]],
    [1, [first, piece(Math.max(0, cut - 8), whole.length, false, "overlapping last fragment")]],
    [1, [first, first, last]],
  ]);
};

/** The packet with a VLAN tag: all that follows the MACs is four bytes further on. */
function vlanTagged(random: Random, packet: Packet): FrameStep[] {
  const one = plain({ ...packet, note: `${packet.note}, VLAN tag` });
  const { frame: bytes, learned } = one;
  const tagged = new Uint8Array(bytes.length + 4);
  tagged.set(bytes.subarray(0, 12));
  tagged.set([0x81, 0, random.pick([0, 0x20]), packet.origin.flow & 7], 12);
  tagged.set(bytes.subarray(12), 16);
  const shifted = learned && {
    ...learned,
    at: learned.at + 4,
    checksums: learned.checksums.map((at) => at + 4),
  };
  return [{ ...one, frame: tagged, ...(shifted && { learned: shifted }) }];
}

function withoutLearned(one: FrameStep): FrameStep {
  const { learned: _, ...rest } = one;
  return rest;
}

const oddities: readonly Oddity[] = [
  withIp("TTL 0", () => ({ ttl: 0 })),
  withIp("TTL 1", () => ({ ttl: 1 })),
  withIp("TTL 2", () => ({ ttl: 2 })),
  withIp("reserved bit", (_, ip) => ({ fragment: (ip.fragment ?? 0) | 0x8000 })),
  withIp("options", (random, _, { ends }) =>
    ends.family === 4 ? { options: ipOptions(random) } : { extensions: extensions(random) },
  ),
  withIp("bad header checksum", () => ({ badHeader: true })),
  withIp("length too long", (random) => ({ lengthError: random.pick([1, 4, 1000]) })),
  withIp("length too short", (random) => ({ lengthError: -random.pick([1, 2, 8, 20, 25, 32]) })),
  withIp("wrong version", (random) => ({ version: random.pick([0, 5, 6, 4, 15]) })),
  withIp("wrong header length", (random) => ({ words: random.pick([0, 4, 6, 15]) })),
  withIp("padding", (random) => ({ padding: random.bytes(random.between(1, 60)) })),
  withBytes("cut short", (random, bytes) => bytes.slice(0, random.between(15, bytes.length - 1))),
  withBytes("a flipped bit", (random, bytes, { origin, payload, ends, ip }) => {
    const l4 = l4Offset(ends.family, ip);
    const flags = payload.number === protocol.tcp ? l4 + 13 : -1;
    const at = random.between(14, bytes.length - 1);
    // A connection that a broken packet opens or ends: see "bad-checksum" in docs/fuzzing.md.
    if (origin.opened === undefined || (flags > 0 && ((bytes[flags] ?? 0) & 7 || at === flags))) return bytes;
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
    return bytes;
  }),
  withBytes("another destination MAC", (random, bytes, { end, through }) => {
    // A container's packet to the outside that its bridge filters and translates, going nowhere: not a case to compare.
    if (end.place !== "outside" && !through?.bridged) return bytes;
    bytes.set(
      random.pick([
        [2, 0, 0, 0, 99, 99],
        [255, 255, 255, 255, 255, 255],
        [1, 0, 94, 1, 1, 1],
      ]),
      0,
    );
    return bytes;
  }),
  withBytes("another source MAC", (_, bytes) => {
    bytes.set([2, 0, 0, 0, 98, 98], 6);
    return bytes;
  }),
  vlanTagged,
  fragmented,
  fragmented,
  fragmented,
];

/** An ICMP error about a packet that `end` got from its peer, sent by it or by a router between. */
export function icmpError(
  random: Random,
  connection: Connection,
  end: End,
  origin: Origin,
  id: number,
  quoted: Payload,
): FrameStep {
  const { family } = connection;
  const got: Ends = { family, sourceMac: "", destinationMac: "", source: end.peer, destination: end.address };
  const whole = ipPacket(got, { id: id & 0xffff, ttl: random.between(1, 64) }, quoted);
  const header = family === 4 ? 20 : 40;
  const quote = whole.slice(0, random.chance(0.3) ? header + 8 : whole.length);
  if (quote.length < header + 8) throw new Error("too short a quote");
  const [type, code, low] = random.pick(family === 4 ? errors4 : errors6);
  const sender =
    random.chance(0.6) || end.place !== "outside"
      ? end.address
      : family === 4
        ? "198.18.250.1"
        : "2001:db8:250::1";
  const ends = { ...endsOf(family, end), source: sender };
  const rest: [number, number] = family === 6 && type === 2 ? [0, 1300] : [0, low];
  const message = icmp(ends, { type, code, rest, payload: quote });
  const ip = ordinaryIp(random, family, id);
  const l4 = l4Offset(family, ip);
  const inner = l4 + 8 + header;
  const places = portPlaces(quoted);
  const port = quoted.number === protocol.icmp || quoted.number === protocol.icmp6 ? 4 : 0;
  const answers = end === connection.server;
  // The quote's own checksum changes with its port, and so the two change nothing in the message's; it may be cut off.
  const hasChecksum = places.checksum !== undefined && places.checksum + 2 <= quote.length - header;
  const checksums = hasChecksum ? [inner + (places.checksum ?? 0)] : [l4 + 2];
  const isUdp = hasChecksum && quoted.number === protocol.udp;
  const learned = learnedPort({ ...origin, answers }, inner + port, checksums, isUdp);
  const note = `ICMP error ${type}/${code} from ${sender}`;
  return step(end, origin, note, frame(ends, ip, message), learned, throughOf(connection, end));
}

const errors4: readonly (readonly [number, number, number])[] = [
  [3, 0, 0],
  [3, 1, 0],
  [3, 2, 0],
  [3, 3, 0],
  [3, 4, 1300],
  [3, 13, 0],
  [11, 0, 0],
  [12, 0, 0],
  [4, 0, 0],
];
const errors6: readonly (readonly [number, number, number])[] = [
  [1, 0, 0],
  [1, 1, 0],
  [1, 3, 0],
  [1, 4, 0],
  [2, 0, 1300],
  [3, 0, 0],
  [4, 0, 0],
];
