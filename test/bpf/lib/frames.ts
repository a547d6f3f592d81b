/** Frames of both families as a policy's tests write them: also those that no stack would send. Checksums are not looked at here. */
import { parseAddress } from "../../../src/ip.js";

export const protocol = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132 } as const;
export const tcpFlags = { fin: 0x01, syn: 0x02, rst: 0x04, ack: 0x10 } as const;

export interface FrameSpec {
  source: string;
  destination: string;
  /** Default "tcp", a SYN. */
  proto?: keyof typeof protocol | number;
  sourcePort?: number;
  destinationPort?: number;
  flags?: number;
  /** After the L4 header; of ICMP: all of it. */
  payload?: Uint8Array;
  /** Instead of the L4 header and the payload. */
  l4?: Uint8Array;
  ttl?: number;
  destinationMac?: string;
  sourceMac?: string;
  /** EtherTypes of VLAN tags, the outer one first. */
  tags?: number[];
  /** IPv4: options, a multiple of four bytes. */
  options?: Uint8Array;
  /** IPv6: extension headers, [protocol, bytes with the next header's number left out]. */
  extensions?: [number, Uint8Array][];
  /** IPv4: offset in bytes and whether more follow. IPv6: a fragment header before the other extensions. */
  fragment?: { offset: number; more: boolean };
  /** Bytes after the packet. */
  padding?: number;
  /** Lies. */
  version?: number;
  headerWords?: number;
  ipLength?: number;
  dataOffset?: number;
  udpLength?: number;
  /** Cut the frame to so many bytes. */
  cut?: number;
}

const ETHERTYPE = { 4: 0x0800, 6: 0x86dd } as const;

export function bytesOf(address: string): Buffer {
  const bytes = parseAddress(address);
  if (bytes === undefined) throw new Error(`no address: ${address}`);
  return Buffer.from(bytes);
}

function l4(spec: FrameSpec, number: number): Buffer {
  if (spec.l4 !== undefined) return Buffer.from(spec.l4);
  const payload = spec.payload ?? new Uint8Array();
  const header = Buffer.alloc(
    number === protocol.tcp ? 20 : number === protocol.udp ? 8 : number === protocol.sctp ? 12 : 0,
  );
  if (header.length > 0) {
    header.writeUInt16BE(spec.sourcePort ?? 40000, 0);
    header.writeUInt16BE(spec.destinationPort ?? 8080, 2);
  }
  if (number === protocol.tcp) {
    header.writeUInt8((spec.dataOffset ?? 5) << 4, 12);
    header.writeUInt8(spec.flags ?? tcpFlags.syn, 13);
  }
  if (number === protocol.udp) header.writeUInt16BE(spec.udpLength ?? 8 + payload.length, 4);
  return Buffer.concat([header, payload]);
}

/** An extension header, its number of the next one filled in; padded to eight bytes. */
function extension(bytes: Uint8Array, next: number): Buffer {
  const header = Buffer.from(bytes);
  header.writeUInt8(next, 0);
  return header;
}

function ipv4(spec: FrameSpec, number: number): Buffer {
  const body = l4(spec, number);
  const options = spec.options ?? new Uint8Array();
  const ip = Buffer.alloc(20 + options.length);
  ip.writeUInt8(((spec.version ?? 4) << 4) | (spec.headerWords ?? ip.length / 4), 0);
  ip.writeUInt16BE(spec.ipLength ?? ip.length + body.length, 2);
  const { offset = 0, more = false } = spec.fragment ?? {};
  ip.writeUInt16BE((offset / 8) | (more ? 0x2000 : 0) | (spec.fragment ? 0 : 0x4000), 6);
  ip.writeUInt8(spec.ttl ?? 64, 8);
  ip.writeUInt8(number, 9);
  bytesOf(spec.source).copy(ip, 12);
  bytesOf(spec.destination).copy(ip, 16);
  ip.set(options, 20);
  return Buffer.concat([ip, body]);
}

function ipv6(spec: FrameSpec, number: number): Buffer {
  const chain = [...(spec.extensions ?? [])];
  if (spec.fragment !== undefined) {
    const header = Buffer.alloc(8);
    header.writeUInt16BE(spec.fragment.offset | (spec.fragment.more ? 1 : 0), 2);
    chain.unshift([44, header]);
  }
  const headers = chain.map(([, bytes], index) => extension(bytes, chain[index + 1]?.[0] ?? number));
  const body = Buffer.concat([...headers, l4(spec, number)]);
  const ip = Buffer.alloc(40);
  ip.writeUInt8((spec.version ?? 6) << 4, 0);
  ip.writeUInt16BE(spec.ipLength ?? body.length, 4);
  ip.writeUInt8(chain[0]?.[0] ?? number, 6);
  ip.writeUInt8(spec.ttl ?? 64, 7);
  bytesOf(spec.source).copy(ip, 8);
  bytesOf(spec.destination).copy(ip, 24);
  return Buffer.concat([ip, body]);
}

/** The frame of a specification; its addresses decide on the family. */
export function makeFrame(spec: FrameSpec): Buffer {
  const family = spec.destination.includes(":") ? 6 : 4;
  const named = spec.proto ?? "tcp";
  const number = typeof named === "number" ? named : protocol[named];
  const link = Buffer.concat([
    Buffer.from((spec.destinationMac ?? "02:00:00:00:00:01").replaceAll(":", ""), "hex"),
    Buffer.from((spec.sourceMac ?? "02:00:00:00:00:02").replaceAll(":", ""), "hex"),
    ...(spec.tags ?? []).map((type) => Buffer.from([type >> 8, type & 0xff, 0, 20])),
    Buffer.from([ETHERTYPE[family] >> 8, ETHERTYPE[family] & 0xff]),
  ]);
  const packet = family === 4 ? ipv4(spec, number) : ipv6(spec, number);
  const frame = Buffer.concat([link, packet, Buffer.alloc(spec.padding ?? 0)]);
  return spec.cut === undefined ? frame : frame.subarray(0, spec.cut);
}
