import { internetChecksum } from "../checksum.js";
import { IPPROTO } from "../datapath/port_numbers.js";
import { type Address, type Family, familyOf, formatAddress, parseAddress } from "../ip.js";

/** What a packet can be asked about as. */
export type Protocol = "tcp" | "udp" | "icmp";

/** One packet; ports in host order. ICMP: an echo request, whose identifier is the source port. */
export interface Packet {
  protocol: Protocol;
  source: Address;
  destination: Address;
  sourcePort: number;
  destinationPort: number;
  /** TCP: one of an open connection, not the first. */
  established: boolean;
}

export interface EthernetEnds {
  source: Uint8Array;
  destination: Uint8Array;
}

const IPPROTO_ICMP = { 4: 1, 6: 58 } as const;

/** Assigned Internet Protocol Numbers (IANA), by family where they differ. */
export const protocolNumber = (protocol: Protocol, family: Family): number =>
  protocol === "icmp" ? IPPROTO_ICMP[family] : IPPROTO[protocol];

const ETHERNET_LENGTH = 14;
const ETHERTYPE = { 4: 0x0800, 6: 0x86dd } as const;
const IP_LENGTH = { 4: 20, 6: 40 } as const;
const HOPS = 64;
const DONT_FRAGMENT = 0x4000;
const [SYN, ACK] = [0x02, 0x10];
const ECHO_REQUEST = { 4: 8, 6: 128 } as const;
/** Where the checksum is in each protocol's header, in bytes. */
const CHECKSUM_AT = { tcp: 16, udp: 6, icmp: 2 } as const;

/** The packet in an Ethernet frame, with its checksums (RFC 791, 8200, 9293, 768, 792, 4443). */
export function frameOf(packet: Packet, ends: EthernetEnds): Buffer {
  const family = familyOf(packet.source);
  const segment = segmentOf(packet, family);
  const [source, destination] = [bytesOf(packet.source), bytesOf(packet.destination)];
  const proto = protocolNumber(packet.protocol, family);
  // ICMP's has no addresses in it.
  const hasAddresses = packet.protocol !== "icmp" || family === 6;
  const pseudo = hasAddresses ? [source, destination, words(0, segment.length, 0, proto)] : [];
  segment.writeUInt16BE(internetChecksum(...pseudo, segment), CHECKSUM_AT[packet.protocol]);
  const ethernet = Buffer.concat([ends.destination, ends.source, words(ETHERTYPE[family])]);
  return Buffer.concat([ethernet, ipHeader(family, segment.length, proto, source, destination), segment]);
}

function ipHeader(
  family: Family,
  length: number,
  proto: number,
  source: Uint8Array,
  destination: Uint8Array,
): Buffer {
  if (family === 6) {
    return Buffer.concat([words(0x6000, 0, length, (proto << 8) | HOPS), source, destination]);
  }
  const header = Buffer.concat([
    words(0x4500, IP_LENGTH[4] + length, 0, DONT_FRAGMENT, (HOPS << 8) | proto, 0),
    source,
    destination,
  ]);
  header.writeUInt16BE(internetChecksum(header), 10);
  return header;
}

function segmentOf(packet: Packet, family: Family): Buffer {
  const { protocol, sourcePort, destinationPort, established } = packet;
  if (protocol === "icmp") return words(ECHO_REQUEST[family] << 8, 0, sourcePort, 1);
  if (protocol === "udp") return words(sourcePort, destinationPort, 8, 0);
  // Sequence number and acknowledgement, length of the header and flags, window, checksum, urgent pointer.
  const flags = 0x5000 | (established ? ACK : SYN);
  return words(sourcePort, destinationPort, 0, 1, 0, established ? 1 : 0, flags, 0xfaf0, 0, 0);
}

/** What a frame that frameOf() has made has become: addresses and ports. */
export function readFrame(frame: Buffer, packet: Packet): Packet {
  const family = frame.readUInt16BE(12) === ETHERTYPE[6] ? 6 : 4;
  const addressLength = family === 4 ? 4 : 16;
  const addressesAt = ETHERNET_LENGTH + IP_LENGTH[family] - 2 * addressLength;
  const segmentAt = ETHERNET_LENGTH + IP_LENGTH[family];
  const isIcmp = packet.protocol === "icmp";
  return {
    ...packet,
    source: formatAddress(frame, addressesAt, family),
    destination: formatAddress(frame, addressesAt + addressLength, family),
    sourcePort: frame.readUInt16BE(segmentAt + (isIcmp ? 4 : 0)),
    destinationPort: isIcmp ? 0 : frame.readUInt16BE(segmentAt + 2),
  };
}

/** 16-bit words in network byte order. */
function words(...values: number[]): Buffer {
  const buffer = Buffer.alloc(2 * values.length);
  values.forEach((value, index) => {
    buffer.writeUInt16BE(value, 2 * index);
  });
  return buffer;
}

/** Of a canonical address, which has some. */
function bytesOf(address: Address): Buffer {
  return Buffer.from(parseAddress(address) ?? []);
}
