/** Packets as a test writes and reads them: Ethernet, IPv4, TCP and UDP, checksums recomputed from scratch (RFC 1071). */
import { formatIpv4, formatMac, parseIpv4 } from "../../../src/ipv4.js";

export const tcpFlag = { fin: 0x01, syn: 0x02, rst: 0x04, psh: 0x08, ack: 0x10 } as const;

export interface PacketSpec {
  sourceMac: string;
  destinationMac: string;
  source: string;
  destination: string;
  /** Default "tcp". A number makes an IP packet of that protocol with the payload as it is. */
  protocol?: "tcp" | "udp" | number;
  sourcePort?: number;
  destinationPort?: number;
  flags?: number;
  payload?: Uint8Array;
  ttl?: number;
  tos?: number;
  /** The IPv4 header's flags and offset field. */
  fragment?: number;
  ipOptions?: Uint8Array;
  tcpOptions?: Uint8Array;
  etherType?: number;
  /** Overrides for malformed packets. */
  totalLength?: number;
  udpLength?: number;
  version?: number;
  headerWords?: number;
  dataOffset?: number;
  /** UDP: send without a checksum. */
  noChecksum?: boolean;
}

function macBytes(text: string): Buffer {
  return Buffer.from(text.replaceAll(":", ""), "hex");
}

/** The ones' complement sum of 16-bit words, folded; an odd last byte counts as the high one. */
export function checksum(...parts: Uint8Array[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let offset = 0; offset < bytes.length; offset += 2) {
    sum += ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function address(text: string): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(parseIpv4(text) ?? 0);
  return bytes;
}

function pseudoHeader(source: Uint8Array, destination: Uint8Array, protocol: number, length: number): Buffer {
  const rest = Buffer.alloc(4);
  rest.writeUInt8(protocol, 1);
  rest.writeUInt16BE(length, 2);
  return Buffer.concat([source, destination, rest]);
}

function tcp(spec: PacketSpec): Buffer {
  const options = spec.tcpOptions ?? new Uint8Array();
  const header = Buffer.alloc(20 + options.length);
  header.writeUInt16BE(spec.sourcePort ?? 0, 0);
  header.writeUInt16BE(spec.destinationPort ?? 0, 2);
  header.writeUInt32BE(1000, 4);
  header.writeUInt32BE(2000, 8);
  header.writeUInt8((spec.dataOffset ?? header.length / 4) << 4, 12);
  header.writeUInt8(spec.flags ?? tcpFlag.ack, 13);
  header.writeUInt16BE(65535, 14);
  header.set(options, 20);
  return Buffer.concat([header, spec.payload ?? new Uint8Array()]);
}

function udp(spec: PacketSpec): Buffer {
  const payload = spec.payload ?? new Uint8Array();
  const header = Buffer.alloc(8);
  header.writeUInt16BE(spec.sourcePort ?? 0, 0);
  header.writeUInt16BE(spec.destinationPort ?? 0, 2);
  header.writeUInt16BE(spec.udpLength ?? 8 + payload.length, 4);
  return Buffer.concat([header, payload]);
}

const protocolNumbers = { tcp: 6, udp: 17 } as const;
const checksumOffsets: Readonly<Record<number, number>> = { 6: 16, 17: 6 };

/** The frame of a specification, every checksum right. */
export function frame(spec: PacketSpec): Buffer {
  const named = spec.protocol ?? "tcp";
  const protocol = typeof named === "number" ? named : protocolNumbers[named];
  const source = address(spec.source);
  const destination = address(spec.destination);
  const body =
    named === "tcp" ? tcp(spec) : named === "udp" ? udp(spec) : Buffer.from(spec.payload ?? new Uint8Array());
  const checksumOffset = checksumOffsets[protocol];
  if (checksumOffset !== undefined && typeof named !== "number" && !spec.noChecksum) {
    const sum = checksum(pseudoHeader(source, destination, protocol, body.length), body);
    body.writeUInt16BE(sum === 0 && named === "udp" ? 0xffff : sum, checksumOffset);
  }
  const options = spec.ipOptions ?? new Uint8Array();
  const ip = Buffer.alloc(20 + options.length);
  ip.writeUInt8(((spec.version ?? 4) << 4) | (spec.headerWords ?? ip.length / 4), 0);
  ip.writeUInt8(spec.tos ?? 0, 1);
  ip.writeUInt16BE(spec.totalLength ?? ip.length + body.length, 2);
  ip.writeUInt16BE(0x1234, 4);
  ip.writeUInt16BE(spec.fragment ?? 0x4000, 6);
  ip.writeUInt8(spec.ttl ?? 64, 8);
  ip.writeUInt8(protocol, 9);
  source.copy(ip, 12);
  destination.copy(ip, 16);
  ip.set(options, 20);
  ip.writeUInt16BE(checksum(ip), 10);
  const etherType = Buffer.alloc(2);
  etherType.writeUInt16BE(spec.etherType ?? 0x0800);
  return Buffer.concat([macBytes(spec.destinationMac), macBytes(spec.sourceMac), etherType, ip, body]);
}

export interface ParsedPacket {
  sourceMac: string;
  destinationMac: string;
  source: string;
  destination: string;
  protocol: number;
  sourcePort: number;
  destinationPort: number;
  ttl: number;
  payload: Buffer;
  ipChecksumRight: boolean;
  /** UDP without a checksum counts as right. */
  l4ChecksumRight: boolean;
  l4Checksum: number;
}

/** Reads a frame back and recomputes its checksums. */
export function parseFrame(bytes: Buffer): ParsedPacket {
  const ip = bytes.subarray(14);
  const headerLength = (ip.readUInt8(0) & 0x0f) * 4;
  const body = ip.subarray(headerLength, ip.readUInt16BE(2));
  const protocol = ip.readUInt8(9);
  const source = ip.subarray(12, 16);
  const destination = ip.subarray(16, 20);
  const checksumOffset = checksumOffsets[protocol] ?? 0;
  const l4Checksum = body.readUInt16BE(checksumOffset);
  const pseudo = pseudoHeader(source, destination, protocol, body.length);
  const l4HeaderLength = protocol === 6 ? (body.readUInt8(12) >> 4) * 4 : 8;
  return {
    destinationMac: formatMac(bytes.subarray(0, 6)),
    sourceMac: formatMac(bytes.subarray(6, 12)),
    source: formatIpv4(source.readUInt32BE(0)),
    destination: formatIpv4(destination.readUInt32BE(0)),
    protocol,
    sourcePort: body.readUInt16BE(0),
    destinationPort: body.readUInt16BE(2),
    ttl: ip.readUInt8(8),
    payload: body.subarray(l4HeaderLength),
    ipChecksumRight: checksum(ip.subarray(0, headerLength)) === 0,
    l4ChecksumRight: (protocol === 17 && l4Checksum === 0) || checksum(pseudo, body) === 0,
    l4Checksum,
  };
}
