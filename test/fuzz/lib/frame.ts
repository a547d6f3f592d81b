// Frames as the generator writes them: any header can be wrong, in the way that is asked for.

import type { Family } from "./world.js";

export const flag = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32 } as const;
export const protocol = { icmp: 1, tcp: 6, udp: 17, icmp6: 58 } as const;
export const ethernetLength = 14;

/** From whom to whom. */
export interface Ends {
  readonly family: Family;
  readonly sourceMac: string;
  readonly destinationMac: string;
  readonly source: string;
  readonly destination: string;
}

/** What a packet of IP is made of, besides its ends and payload. */
export interface IpSpec {
  /** TTL or hop limit; 64 unless told. */
  readonly ttl?: number;
  readonly tos?: number;
  /** IPv4's id, IPv6's flow label: what the report knows a packet by. */
  readonly id?: number;
  /** IPv4: the flags and offset field as it is. */
  readonly fragment?: number;
  /** IPv4: a multiple of four bytes. */
  readonly options?: Uint8Array;
  /** IPv6: extension headers before the payload, each with its number. */
  readonly extensions?: readonly { readonly number: number; readonly bytes: Uint8Array }[];
  /** Added to the length field. */
  readonly lengthError?: number;
  /** IPv4: the header's checksum is wrong. */
  readonly badHeader?: boolean;
  readonly version?: number;
  /** IPv4: the header length field. */
  readonly words?: number;
  /** Bytes after the packet, as Ethernet's padding. */
  readonly padding?: Uint8Array;
}

export interface TcpSpec {
  readonly sport: number;
  readonly dport: number;
  readonly seq: number;
  readonly ack: number;
  readonly flags: number;
  readonly window?: number;
  readonly options?: Uint8Array;
  readonly payload?: Uint8Array;
  /** The data offset field, in words. */
  readonly words?: number;
  readonly badChecksum?: boolean;
  /** As in Payload. */
  readonly segments?: number;
}

export interface UdpSpec {
  readonly sport: number;
  readonly dport: number;
  readonly payload: Uint8Array;
  readonly noChecksum?: boolean;
  readonly badChecksum?: boolean;
  /** Added to the length field. */
  readonly lengthError?: number;
}

/** The L4 part of a packet, and where its checksum is. */
export interface Payload {
  readonly number: number;
  readonly bytes: Uint8Array;
  /** TCP: the checksum is a network card's to fill in, and to cut it into segments of so much data (0: it is one). */
  readonly segments?: number;
}

const addresses = new Map<string, Uint8Array>();

/** An address of either family as bytes. */
export function addressBytes(text: string): Uint8Array {
  let bytes = addresses.get(text);
  if (!bytes) {
    bytes = text.includes(":") ? parse6(text) : Uint8Array.from(text.split(".").map(Number));
    addresses.set(text, bytes);
  }
  return bytes;
}

function parse6(text: string): Uint8Array {
  const [left = "", right] = text.split("::");
  const words = (part: string) => (part ? part.split(":").map((word) => Number.parseInt(word, 16)) : []);
  const head = words(left);
  const tail = right === undefined ? [] : words(right);
  const all = [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
  return Uint8Array.from(all.flatMap((word) => [word >> 8, word & 255]));
}

const macs = new Map<string, Uint8Array>();

/** A MAC address as bytes. */
export function macBytes(text: string): Uint8Array {
  let bytes = macs.get(text);
  if (!bytes) {
    bytes = Uint8Array.from(text.split(":").map((byte) => Number.parseInt(byte, 16)));
    macs.set(text, bytes);
  }
  return bytes;
}

/** The ones' complement sum of 16-bit words from `from` to `to`, added to `sum`, not folded. */
export function sumWords(bytes: Uint8Array, from: number, to: number, sum: number): number {
  let total = sum;
  for (let at = from; at + 1 < to; at += 2) total += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  if ((to - from) % 2) total += (bytes[to - 1] ?? 0) << 8;
  return total;
}

/** Folds a sum into a checksum. */
export function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 65536);
  return ~folded & 0xffff;
}

const get16 = (bytes: Uint8Array, at: number) => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
const put16 = (bytes: Uint8Array, at: number, value: number) => {
  bytes[at] = (value >> 8) & 255;
  bytes[at + 1] = value & 255;
};
const put32 = (bytes: Uint8Array, at: number, value: number) => {
  put16(bytes, at, value >>> 16);
  put16(bytes, at + 2, value & 0xffff);
};

/** Replaces a 16-bit field, and updates a checksum over it (RFC 1624); what was wrong stays as wrong. */
export function replace16(bytes: Uint8Array, at: number, value: number, checksums: readonly number[]): void {
  const old = get16(bytes, at);
  put16(bytes, at, value);
  for (const where of checksums) {
    const check = get16(bytes, where);
    put16(bytes, where, fold((~check & 0xffff) + (~old & 0xffff) + value));
  }
}

/** What the pseudo header adds to a sum. */
export function pseudoSum(
  source: Uint8Array,
  destination: Uint8Array,
  number: number,
  length: number,
): number {
  const sum = sumWords(source, 0, source.length, sumWords(destination, 0, destination.length, number));
  return sum + (length >>> 16) + (length & 0xffff);
}

export function tcp(ends: Ends, spec: TcpSpec): Payload {
  const options = spec.options ?? new Uint8Array();
  const payload = spec.payload ?? new Uint8Array();
  const bytes = new Uint8Array(20 + options.length + payload.length);
  put16(bytes, 0, spec.sport);
  put16(bytes, 2, spec.dport);
  put32(bytes, 4, spec.seq >>> 0);
  put32(bytes, 8, spec.ack >>> 0);
  bytes[12] = (spec.words ?? 5 + options.length / 4) << 4;
  bytes[13] = spec.flags;
  put16(bytes, 14, spec.window ?? 0xfaf0);
  bytes.set(options, 20);
  bytes.set(payload, 20 + options.length);
  const sum = pseudoSum(
    addressBytes(ends.source),
    addressBytes(ends.destination),
    protocol.tcp,
    bytes.length,
  );
  if (spec.segments !== undefined) {
    // What the card starts from: the pseudo header's sum.
    put16(bytes, 16, ~fold(sum) & 0xffff);
    return { number: protocol.tcp, bytes, segments: spec.segments };
  }
  const check = fold(sumWords(bytes, 0, bytes.length, sum));
  put16(bytes, 16, spec.badChecksum ? check ^ 0x5555 : check);
  return { number: protocol.tcp, bytes };
}

export function udp(ends: Ends, spec: UdpSpec): Payload {
  const bytes = new Uint8Array(8 + spec.payload.length);
  put16(bytes, 0, spec.sport);
  put16(bytes, 2, spec.dport);
  put16(bytes, 4, bytes.length + (spec.lengthError ?? 0));
  bytes.set(spec.payload, 8);
  if (!spec.noChecksum) {
    const sum = pseudoSum(
      addressBytes(ends.source),
      addressBytes(ends.destination),
      protocol.udp,
      get16(bytes, 4),
    );
    const check = fold(sumWords(bytes, 0, bytes.length, sum)) || 0xffff;
    put16(bytes, 6, spec.badChecksum ? check ^ 0x5555 || 0x1234 : check);
  }
  return { number: protocol.udp, bytes };
}

/** ICMP or ICMPv6: `rest` is the second word, as two 16-bit values. */
export function icmp(
  ends: Ends,
  spec: {
    readonly type: number;
    readonly code: number;
    readonly rest?: readonly [number, number];
    readonly payload?: Uint8Array;
    readonly badChecksum?: boolean;
  },
): Payload {
  const payload = spec.payload ?? new Uint8Array();
  const bytes = new Uint8Array(8 + payload.length);
  bytes[0] = spec.type;
  bytes[1] = spec.code;
  put16(bytes, 4, spec.rest?.[0] ?? 0);
  put16(bytes, 6, spec.rest?.[1] ?? 0);
  bytes.set(payload, 8);
  const number = ends.family === 4 ? protocol.icmp : protocol.icmp6;
  const sum =
    ends.family === 4
      ? 0
      : pseudoSum(addressBytes(ends.source), addressBytes(ends.destination), number, bytes.length);
  const check = fold(sumWords(bytes, 0, bytes.length, sum));
  put16(bytes, 2, spec.badChecksum ? check ^ 0x5555 : check);
  return { number, bytes };
}

/** A packet without its Ethernet header: what an ICMP error quotes. */
export function ipPacket(ends: Ends, spec: IpSpec, payload: Payload): Uint8Array {
  return ends.family === 4 ? ipv4(ends, spec, payload) : ipv6(ends, spec, payload);
}

function ipv4(ends: Ends, spec: IpSpec, { number, bytes: payload }: Payload): Uint8Array {
  const options = spec.options ?? new Uint8Array();
  const header = 20 + options.length;
  const bytes = new Uint8Array(header + payload.length);
  bytes[0] = ((spec.version ?? 4) << 4) | (spec.words ?? header / 4);
  bytes[1] = spec.tos ?? 0;
  put16(bytes, 2, bytes.length + (spec.lengthError ?? 0));
  put16(bytes, 4, spec.id ?? 0);
  put16(bytes, 6, spec.fragment ?? 0);
  bytes[8] = spec.ttl ?? 64;
  bytes[9] = number;
  bytes.set(addressBytes(ends.source), 12);
  bytes.set(addressBytes(ends.destination), 16);
  bytes.set(options, 20);
  const check = fold(sumWords(bytes, 0, header, 0));
  put16(bytes, 10, spec.badHeader ? check ^ 0x5555 : check);
  bytes.set(payload, header);
  return bytes;
}

function ipv6(ends: Ends, spec: IpSpec, { number, bytes: payload }: Payload): Uint8Array {
  const extensions = spec.extensions ?? [];
  const extra = extensions.reduce((sum, one) => sum + one.bytes.length, 0);
  const bytes = new Uint8Array(40 + extra + payload.length);
  const tos = spec.tos ?? 0;
  bytes[0] = ((spec.version ?? 6) << 4) | (tos >> 4);
  put32(bytes, 0, (((spec.version ?? 6) << 28) | (tos << 20) | (spec.id ?? 0)) >>> 0);
  put16(bytes, 4, extra + payload.length + (spec.lengthError ?? 0));
  bytes[6] = extensions[0]?.number ?? number;
  bytes[7] = spec.ttl ?? 64;
  bytes.set(addressBytes(ends.source), 8);
  bytes.set(addressBytes(ends.destination), 24);
  let at = 40;
  extensions.forEach((one, i) => {
    bytes.set(one.bytes, at);
    bytes[at] = extensions[i + 1]?.number ?? number;
    at += one.bytes.length;
  });
  bytes.set(payload, at);
  return bytes;
}

/** A frame. */
export function frame(ends: Ends, spec: IpSpec, payload: Payload): Uint8Array {
  const packet = ipPacket(ends, spec, payload);
  const type = ends.family === 4 ? 0x0800 : 0x86dd;
  return ethernet(ends.destinationMac, ends.sourceMac, type, packet, spec.padding ?? new Uint8Array());
}

export function ethernet(
  destination: string,
  source: string,
  type: number,
  ...parts: Uint8Array[]
): Uint8Array {
  const bytes = new Uint8Array(ethernetLength + parts.reduce((sum, part) => sum + part.length, 0));
  bytes.set(macBytes(destination), 0);
  bytes.set(macBytes(source), 6);
  put16(bytes, 12, type);
  let at = ethernetLength;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Where L4 begins in a frame that frame() made. */
export function l4Offset(family: Family, spec: IpSpec): number {
  if (family === 4) return ethernetLength + 20 + (spec.options?.length ?? 0);
  return ethernetLength + 40 + (spec.extensions ?? []).reduce((sum, one) => sum + one.bytes.length, 0);
}
