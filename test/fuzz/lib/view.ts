// A frame's few facts that the comparer and the report need, read defensively: any frame can be broken.

import { ethernetLength, protocol } from "./frame.js";

/** Where things are in a frame of IP; offsets are from the frame's first byte. */
export interface View {
  readonly family: 4 | 6;
  readonly ip: number;
  readonly proto: number;
  /** Undefined where the ports are not in this packet: a later fragment, or cut off. */
  readonly l4: number | undefined;
  readonly source: string;
  readonly destination: string;
}

const texts = new Map<string, string>();

/** An address as text; IPv6 with the longest run of zeros as "::". */
export function addressText(bytes: Uint8Array): string {
  const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
  let text = texts.get(key);
  if (text === undefined) {
    // Addresses are few but for flipped bits.
    if (texts.size > 10_000) texts.clear();
    text = bytes.length === 4 ? bytes.join(".") : text6(bytes);
    texts.set(key, text);
  }
  return text;
}

function text6(bytes: Uint8Array): string {
  const words = Array.from({ length: 8 }, (_, i) => read16(bytes, i * 2).toString(16));
  const text = words.join(":");
  const runs = [...text.matchAll(/(?:^|:)0(?::0)+(?=:|$)/g)].sort((a, b) => b[0].length - a[0].length);
  const run = runs[0];
  if (!run) return text;
  const before = text.slice(0, run.index);
  const after = text.slice(run.index + run[0].length + 1);
  return `${before}::${after}`;
}

/** Looks at the IP packet that begins at `ip`. */
export function viewIp(bytes: Uint8Array, ip: number): View | undefined {
  const version = (bytes[ip] ?? 0) >> 4;
  if (version === 4 && bytes.length >= ip + 20) {
    const header = ((bytes[ip] ?? 0) & 15) * 4;
    const offset = (((bytes[ip + 6] ?? 0) << 8) | (bytes[ip + 7] ?? 0)) & 0x1fff;
    const l4 = ip + header;
    return {
      family: 4,
      ip,
      proto: bytes[ip + 9] ?? 0,
      l4: offset === 0 && header >= 20 && bytes.length >= l4 + 8 ? l4 : undefined,
      get source() {
        return addressText(bytes.subarray(ip + 12, ip + 16));
      },
      get destination() {
        return addressText(bytes.subarray(ip + 16, ip + 20));
      },
    };
  }
  if (version !== 6 || bytes.length < ip + 40) return undefined;
  let next = bytes[ip + 6] ?? 0;
  let at = ip + 40;
  let later = false;
  while ([0, 43, 44, 60].includes(next) && at + 8 <= bytes.length) {
    if (next === 44 && ((((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) & 0xfff8) !== 0) later = true;
    const length = next === 44 ? 8 : ((bytes[at + 1] ?? 0) + 1) * 8;
    next = bytes[at] ?? 0;
    at += length;
  }
  return {
    family: 6,
    ip,
    proto: next,
    l4: !later && bytes.length >= at + 8 ? at : undefined,
    get source() {
      return addressText(bytes.subarray(ip + 8, ip + 24));
    },
    get destination() {
      return addressText(bytes.subarray(ip + 24, ip + 40));
    },
  };
}

/** Looks at a frame; undefined when it is not IP. */
export function view(frame: Uint8Array): View | undefined {
  const type = ((frame[12] ?? 0) << 8) | (frame[13] ?? 0);
  if (type !== 0x0800 && type !== 0x86dd) return undefined;
  return viewIp(frame, ethernetLength);
}

/** Whether an ICMP message of this type quotes a packet. */
export const isIcmpError = (proto: number, type: number): boolean =>
  proto === protocol.icmp ? [3, 4, 5, 11, 12].includes(type) : proto === protocol.icmp6 && type < 128;

/** Whether an ICMP message has an id that NAT treats as a port. */
export const isEcho = (proto: number, type: number): boolean =>
  proto === protocol.icmp ? type === 8 || type === 0 : proto === protocol.icmp6 && [128, 129].includes(type);

/** A port's field in a frame, with the checksums over it. */
export interface PortField {
  readonly at: number;
  readonly checksums: readonly number[];
}

/** Where the L4 source or destination port (or the echo id) is; undefined when there is none. */
export function portField(
  frame: Uint8Array,
  seen: View,
  which: "source" | "destination",
): PortField | undefined {
  const { l4, proto } = seen;
  if (l4 === undefined) return undefined;
  // Of a fragment the checksum may be in the next one.
  if (proto === protocol.tcp)
    return {
      at: l4 + (which === "source" ? 0 : 2),
      checksums: frame.length >= l4 + 18 ? [l4 + 16] : [],
    };
  if (proto === protocol.udp) {
    const none = frame[l4 + 6] === 0 && frame[l4 + 7] === 0;
    return { at: l4 + (which === "source" ? 0 : 2), checksums: none ? [] : [l4 + 6] };
  }
  if (isEcho(proto, frame[l4] ?? 0)) return { at: l4 + 4, checksums: [l4 + 2] };
  return undefined;
}

export const read16 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);

/** Whether a frame is TCP with this flag. */
export function hasFlag(frame: Uint8Array, which: number): boolean {
  const seen = view(frame);
  return seen?.l4 !== undefined && seen.proto === protocol.tcp && ((frame[seen.l4 + 13] ?? 0) & which) !== 0;
}

/** The frame without a VLAN tag: the kernel takes one with a priority alone for none. */
export const untagged = (frame: Uint8Array): Uint8Array =>
  read16(frame, 12) === 0x8100 ? Buffer.concat([frame.subarray(0, 12), frame.subarray(16)]) : frame;
