// IP packets written byte by byte, for raw-send.c: what no socket would send.

import { isIPv6 } from "node:net";
import { checksum } from "../bpf/lib/packet.js";

/** Protocol numbers. */
export const protocol = { icmp: 1, udp: 17, fragment: 44, esp: 50, icmp6: 58, sctp: 132 } as const;

/** An IP packet. */
export interface RawPacket {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly payload: Uint8Array;
  /** Or hop limit; 64 unless told. */
  readonly ttl?: number;
  /** Which part of a datagram this is: where it begins, and whether more comes. */
  readonly fragment?: { readonly id: number; readonly offset: number; readonly more: boolean };
}

/** An address in bytes. */
export function addressBytes(text: string): Buffer {
  if (!isIPv6(text)) return Buffer.from(text.split(".").map(Number));
  const [head = "", tail] = text.split("::");
  const words = (part: string | undefined) =>
    part ? part.split(":").map((word) => Number.parseInt(word, 16)) : [];
  const [before, after] = [words(head), words(tail)];
  const bytes = Buffer.alloc(16);
  for (const [at, word] of before.entries()) bytes.writeUInt16BE(word, at * 2);
  for (const [at, word] of after.entries()) bytes.writeUInt16BE(word, 16 - (after.length - at) * 2);
  return bytes;
}

/** The packet in the hexadecimal that raw-send takes. */
export const hex = (packet: RawPacket): string =>
  (isIPv6(packet.destination) ? ipv6Packet(packet) : ipv4Packet(packet)).toString("hex");

function ipv4Packet({ source, destination, protocol, payload, ttl = 64, fragment }: RawPacket): Buffer {
  const header = Buffer.alloc(20);
  header[0] = 0x45;
  header.writeUInt16BE(20 + payload.length, 2);
  header.writeUInt16BE(fragment?.id ?? 1, 4);
  if (fragment) header.writeUInt16BE((fragment.more ? 0x2000 : 0) | (fragment.offset / 8), 6);
  header[8] = ttl;
  header[9] = protocol;
  addressBytes(source).copy(header, 12);
  addressBytes(destination).copy(header, 16);
  return Buffer.concat([header, payload]);
}

function ipv6Packet(packet: RawPacket): Buffer {
  const { source, destination, payload, ttl = 64, fragment } = packet;
  const extension = fragment ? Buffer.alloc(8) : Buffer.alloc(0);
  if (fragment) {
    extension[0] = packet.protocol;
    extension.writeUInt16BE(fragment.offset | (fragment.more ? 1 : 0), 2);
    extension.writeUInt32BE(fragment.id, 4);
  }
  const header = Buffer.alloc(8);
  header[0] = 0x60;
  header.writeUInt16BE(extension.length + payload.length, 4);
  header[6] = fragment ? protocol.fragment : packet.protocol;
  header[7] = ttl;
  return Buffer.concat([header, addressBytes(source), addressBytes(destination), extension, payload]);
}

/** The addresses, the length and the protocol as checksums take them (RFC 768, RFC 8200 section 8.1). */
function pseudoHeader(source: string, destination: string, protocol: number, length: number): Buffer {
  return Buffer.concat([
    addressBytes(source),
    addressBytes(destination),
    Buffer.from([0, protocol, length >> 8, length & 0xff]),
  ]);
}

/** A UDP datagram with its checksum. */
export function udpDatagram(
  source: string,
  sourcePort: number,
  destination: string,
  destinationPort: number,
  data: Uint8Array,
): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(sourcePort, 0);
  header.writeUInt16BE(destinationPort, 2);
  header.writeUInt16BE(8 + data.length, 4);
  const pseudo = pseudoHeader(source, destination, protocol.udp, 8 + data.length);
  header.writeUInt16BE(checksum(pseudo, header, data) || 0xffff, 6);
  return Buffer.concat([header, data]);
}

/** A ping of the addresses' family. */
export function echoRequest(source: string, destination: string, ttl: number): RawPacket {
  const six = isIPv6(destination);
  const number = six ? protocol.icmp6 : protocol.icmp;
  const payload = Buffer.alloc(24, 0x66);
  payload.set([six ? 128 : 8, 0, 0, 0, 0, 9, 0, ttl]); // Type, code, checksum, id 9, sequence.
  const pseudo = six ? pseudoHeader(source, destination, number, payload.length) : Buffer.alloc(0);
  payload.writeUInt16BE(checksum(pseudo, payload), 2);
  return { source, destination, protocol: number, payload, ttl };
}

/** A datagram in two packets of which the second comes first. */
export function outOfOrder(packet: RawPacket, id: number): RawPacket[] {
  const half = Math.ceil(packet.payload.length / 16) * 8;
  return [
    {
      ...packet,
      payload: packet.payload.subarray(half),
      fragment: { id, offset: half, more: false },
    },
    { ...packet, payload: packet.payload.subarray(0, half), fragment: { id, offset: 0, more: true } },
  ];
}

/** SCTP's CRC32c (RFC 9260, appendix A), bit by bit. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** An SCTP packet with an INIT (1) or INIT ACK (2) chunk. tag: the receiver's; 0 in an INIT. */
export function sctpInit(
  type: 1 | 2,
  sourcePort: number,
  destinationPort: number,
  tag: number,
  ownTag: number,
): Buffer {
  const packet = Buffer.alloc(32);
  packet.writeUInt16BE(sourcePort, 0);
  packet.writeUInt16BE(destinationPort, 2);
  packet.writeUInt32BE(tag, 4);
  packet[12] = type;
  packet.writeUInt16BE(20, 14);
  packet.writeUInt32BE(ownTag, 16);
  packet.writeUInt32BE(65536, 20); // Receiver's window,
  packet.writeUInt16BE(1, 24); // streams out,
  packet.writeUInt16BE(1, 26); // and in,
  packet.writeUInt32BE(1, 28); // the first TSN.
  packet.writeUInt32LE(crc32c(packet), 8);
  return packet;
}
