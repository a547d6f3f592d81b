/**
 * Packets as a test writes and reads them: Ethernet, IPv4 and IPv6, TCP, UDP and ICMP. Checksums are computed from scratch
 * (RFC 1071), so that none of the programs' arithmetic is taken for granted.
 */
import {
  type Address,
  type Family,
  familyOf,
  formatAddress,
  formatMac,
  parseAddress,
} from "../../../src/ip.js";

export const tcpFlag = { fin: 0x01, syn: 0x02, rst: 0x04, psh: 0x08, ack: 0x10 } as const;
export const etherType = { ipv4: 0x0800, ipv6: 0x86dd, arp: 0x0806, vlan: 0x8100 } as const;
/** IPPROTO_* of what may follow an IP header. */
export const protocolNumber = {
  hopByHop: 0,
  icmp: 1,
  tcp: 6,
  udp: 17,
  routing: 43,
  fragment: 44,
  authentication: 51,
  icmpv6: 58,
  noNext: 59,
  destinationOptions: 60,
  sctp: 132,
  mobility: 135,
} as const;

/** In the IPv4 header's field; the same here for IPv6. */
export const moreFragments = 0x2000;

export interface PacketSpec {
  sourceMac: string;
  destinationMac: string;
  /** The addresses tell the family. */
  source: Address;
  destination: Address;
  /** Default "tcp". A number makes an IP packet of that protocol with the payload as it is. */
  protocol?: "tcp" | "udp" | "icmp" | number;
  sourcePort?: number;
  destinationPort?: number;
  flags?: number;
  /** TCP's. Default 1000. */
  sequence?: number;
  /** Default echo request. */
  icmpType?: number;
  payload?: Uint8Array;
  /** IPv6's hop limit. */
  ttl?: number;
  /** IPv6's traffic class. */
  tos?: number;
  flowLabel?: number;
  /** As the IPv4 header's field of flags and offset; in IPv6 it makes a fragment header. */
  fragment?: number;
  ipOptions?: Uint8Array;
  /** IPv6: extension headers by number, 8 bytes each, in order. */
  extensions?: readonly number[];
  tcpOptions?: Uint8Array;
  etherType?: number;
  /** Overrides for malformed packets. ipPayloadLength: what comes after the IP header, as that says. */
  ipPayloadLength?: number;
  udpLength?: number;
  version?: number;
  headerWords?: number;
  ipChecksum?: number;
  dataOffset?: number;
  /** UDP: send without a checksum. */
  noChecksum?: boolean;
}

function macBytes(text: string): Buffer {
  return Buffer.from(text.replaceAll(":", ""), "hex");
}

/** The ones' complement sum of 16-bit words, folded and inverted; an odd last byte counts as the high one. */
export function checksum(...parts: Uint8Array[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let offset = 0; offset < bytes.length; offset += 2) {
    sum += ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function addressBytes(text: Address): Uint8Array {
  const bytes = parseAddress(text);
  if (bytes === undefined) throw new Error(`no address: ${text}`);
  return bytes;
}

/** IPv4: protocol and length in 16 bits each; IPv6 has room for 32 (RFC 8200, 8.1). The sum is the same. */
function pseudoHeader(source: Uint8Array, destination: Uint8Array, protocol: number, length: number): Buffer {
  const rest = Buffer.alloc(4);
  rest.writeUInt16BE(protocol, 0);
  rest.writeUInt16BE(length, 2);
  return Buffer.concat([source, destination, rest]);
}

function tcp(spec: PacketSpec): Buffer {
  const options = spec.tcpOptions ?? new Uint8Array();
  const header = Buffer.alloc(20 + options.length);
  header.writeUInt16BE(spec.sourcePort ?? 0, 0);
  header.writeUInt16BE(spec.destinationPort ?? 0, 2);
  header.writeUInt32BE(spec.sequence ?? 1000, 4);
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

function icmp(spec: PacketSpec, family: Family): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt8(spec.icmpType ?? (family === 4 ? 8 : 128), 0);
  header.writeUInt16BE(1, 6);
  return Buffer.concat([header, spec.payload ?? new Uint8Array()]);
}

/** The number that the IP header has for a protocol. */
function protocolOf(spec: PacketSpec, family: Family): number {
  const named = spec.protocol ?? "tcp";
  if (typeof named === "number") return named;
  if (named === "icmp") return family === 4 ? protocolNumber.icmp : protocolNumber.icmpv6;
  return protocolNumber[named];
}

function transport(spec: PacketSpec, family: Family): Buffer {
  switch (spec.protocol ?? "tcp") {
    case "tcp":
      return tcp(spec);
    case "udp":
      return udp(spec);
    case "icmp":
      return icmp(spec, family);
    default:
      return Buffer.from(spec.payload ?? new Uint8Array());
  }
}

/** Where the checksum lies, and whether the addresses are in it. */
const checksums: Readonly<Record<number, { offset: number; pseudo: boolean }>> = {
  [protocolNumber.icmp]: { offset: 2, pseudo: false },
  [protocolNumber.tcp]: { offset: 16, pseudo: true },
  [protocolNumber.udp]: { offset: 6, pseudo: true },
  [protocolNumber.icmpv6]: { offset: 2, pseudo: true },
};

/** The IP packet of a specification, every checksum right. */
export function ipPacket(spec: PacketSpec): Buffer {
  const family = familyOf(spec.source);
  const protocol = protocolOf(spec, family);
  const source = addressBytes(spec.source);
  const destination = addressBytes(spec.destination);
  const body = transport(spec, family);
  const place = checksums[protocol];
  if (place !== undefined && typeof spec.protocol !== "number" && !spec.noChecksum) {
    const pseudo = place.pseudo ? pseudoHeader(source, destination, protocol, body.length) : new Uint8Array();
    const sum = checksum(pseudo, body);
    body.writeUInt16BE(sum === 0 && spec.protocol === "udp" ? 0xffff : sum, place.offset);
  }
  return family === 4
    ? Buffer.concat([ipv4Header(spec, protocol, source, destination, body.length), body])
    : Buffer.concat([...ipv6Headers(spec, protocol, source, destination, body.length), body]);
}

function ipv4Header(
  spec: PacketSpec,
  protocol: number,
  source: Uint8Array,
  destination: Uint8Array,
  bodyLength: number,
): Buffer {
  const options = spec.ipOptions ?? new Uint8Array();
  const header = Buffer.alloc(20 + options.length);
  header.writeUInt8(((spec.version ?? 4) << 4) | (spec.headerWords ?? header.length / 4), 0);
  header.writeUInt8(spec.tos ?? 0, 1);
  header.writeUInt16BE(header.length + (spec.ipPayloadLength ?? bodyLength), 2);
  header.writeUInt16BE(0x1234, 4);
  header.writeUInt16BE(spec.fragment ?? 0x4000, 6);
  header.writeUInt8(spec.ttl ?? 64, 8);
  header.writeUInt8(protocol, 9);
  header.set(source, 12);
  header.set(destination, 16);
  header.set(options, 20);
  header.writeUInt16BE(spec.ipChecksum ?? checksum(header), 10);
  return header;
}

function ipv6Headers(
  spec: PacketSpec,
  protocol: number,
  source: Uint8Array,
  destination: Uint8Array,
  bodyLength: number,
): Buffer[] {
  const numbers = [...(spec.extensions ?? [])];
  if (spec.fragment !== undefined) numbers.push(protocolNumber.fragment);
  const extensions = numbers.map((number, index) => {
    const extension = Buffer.alloc(8);
    extension.writeUInt8(numbers[index + 1] ?? protocol, 0);
    if (number === protocolNumber.fragment) {
      const field = spec.fragment ?? 0;
      extension.writeUInt16BE(((field & 0x1fff) << 3) | (field & moreFragments ? 1 : 0), 2);
      extension.writeUInt32BE(0x12345678, 4);
    } else if (number === protocolNumber.hopByHop || number === protocolNumber.destinationOptions) {
      extension.set([1, 4], 2); // PadN
    }
    return extension;
  });
  const header = Buffer.alloc(40);
  const first = ((spec.version ?? 6) << 28) | ((spec.tos ?? 0) << 20) | (spec.flowLabel ?? 0);
  header.writeUInt32BE(first >>> 0, 0);
  header.writeUInt16BE(spec.ipPayloadLength ?? 8 * extensions.length + bodyLength, 4);
  header.writeUInt8(numbers[0] ?? protocol, 6);
  header.writeUInt8(spec.ttl ?? 64, 7);
  header.set(source, 8);
  header.set(destination, 24);
  return [header, ...extensions];
}

/** The Ethernet frame of a specification. */
export function frame(spec: PacketSpec): Buffer {
  const type = Buffer.alloc(2);
  type.writeUInt16BE(spec.etherType ?? (familyOf(spec.source) === 4 ? etherType.ipv4 : etherType.ipv6));
  return Buffer.concat([macBytes(spec.destinationMac), macBytes(spec.sourceMac), type, ipPacket(spec)]);
}

export interface ParsedPacket {
  source: Address;
  destination: Address;
  protocol: number;
  sourcePort: number;
  destinationPort: number;
  /** IPv6's hop limit. */
  ttl: number;
  /** 0 for UDP. */
  flags: number;
  payload: Buffer;
  /** IPv6 has none: right. */
  ipChecksumRight: boolean;
  /** UDP over IPv4 without a checksum counts as right. */
  l4ChecksumRight: boolean;
  l4Checksum: number;
}

export interface ParsedFrame extends ParsedPacket {
  sourceMac: string;
  destinationMac: string;
  etherType: number;
}

/** Reads an IP packet without options or extension headers back and recomputes its checksums. */
export function parsePacket(ip: Buffer): ParsedPacket {
  const family = ip.readUInt8(0) >> 4 === 4 ? 4 : 6;
  const headerLength = family === 4 ? (ip.readUInt8(0) & 0x0f) * 4 : 40;
  const end = family === 4 ? ip.readUInt16BE(2) : 40 + ip.readUInt16BE(4);
  const addressesAt = family === 4 ? 12 : 8;
  const addressLength = family === 4 ? 4 : 16;
  const body = ip.subarray(headerLength, end);
  const protocol = ip.readUInt8(family === 4 ? 9 : 6);
  const source = ip.subarray(addressesAt, addressesAt + addressLength);
  const destination = ip.subarray(addressesAt + addressLength, addressesAt + 2 * addressLength);
  const l4Checksum = body.readUInt16BE(checksums[protocol]?.offset ?? 0);
  const pseudo = pseudoHeader(source, destination, protocol, body.length);
  const isTcp = protocol === protocolNumber.tcp;
  const sentWithout = family === 4 && protocol === protocolNumber.udp && l4Checksum === 0;
  return {
    source: formatAddress(source, 0, family),
    destination: formatAddress(destination, 0, family),
    protocol,
    sourcePort: body.readUInt16BE(0),
    destinationPort: body.readUInt16BE(2),
    ttl: ip.readUInt8(family === 4 ? 8 : 7),
    flags: isTcp ? body.readUInt8(13) : 0,
    payload: body.subarray(isTcp ? (body.readUInt8(12) >> 4) * 4 : 8),
    ipChecksumRight: family === 6 || checksum(ip.subarray(0, headerLength)) === 0,
    l4ChecksumRight: sentWithout || checksum(pseudo, body) === 0,
    l4Checksum,
  };
}

/** As parsePacket(), of an Ethernet frame. */
export function parseFrame(bytes: Buffer): ParsedFrame {
  return {
    destinationMac: formatMac(bytes.subarray(0, 6)),
    sourceMac: formatMac(bytes.subarray(6, 12)),
    etherType: bytes.readUInt16BE(12),
    ...parsePacket(bytes.subarray(14)),
  };
}
