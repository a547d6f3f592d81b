/**
 * IP addresses as text, in one spelling each: "192.0.2.1", and IPv6 as RFC 5952 and inet_ntop(3) write it
 * ("2001:db8::1"). Whatever comes from outside goes through canonical() first; two canonical texts are equal exactly when
 * the addresses are. MAC addresses are six bytes.
 */

/** Canonical text. */
export type Address = string;

export type Family = 4 | 6;

export const FAMILIES: readonly Family[] = [4, 6];

/** One of each. */
export type PerFamily<T> = Readonly<Record<Family, T>>;

/** Made of what a function says of each. */
export function perFamily<T>(of: (family: Family) => T): PerFamily<T> {
  return { 4: of(4), 6: of(6) };
}

/** The unspecified address: none, or any. */
export const ANY: PerFamily<Address> = { 4: "0.0.0.0", 6: "::" };

/** Of a canonical address. */
export function familyOf(address: Address): Family {
  return address.includes(":") ? 6 : 4;
}

/**
 * The one spelling of an address.
 * @param family undefined: either
 * @returns undefined for what is no address of the family: zones ("%eth0"), prefixes, leading zeros of IPv4, ...
 */
export function canonical(text: string, family?: Family): Address | undefined {
  const bytes = parseAddress(text);
  if (bytes === undefined || (family !== undefined && bytes.length !== byteLength(family))) return undefined;
  return formatAddress(bytes, 0, bytes.length === 4 ? 4 : 6);
}

/** How many bytes an address has. */
export function byteLength(family: Family): 4 | 16 {
  return family === 4 ? 4 : 16;
}

/** Four or sixteen bytes in network order; undefined for what is no address. */
export function parseAddress(text: string): Uint8Array | undefined {
  // The longest is "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".
  if (text.length > 45) return undefined;
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

const [DOT, COLON, ZERO, NINE] = [".", ":", "0", "9"].map((c) => c.charCodeAt(0)) as [
  number,
  number,
  number,
  number,
];

/** Character by character: lists of networks have hundreds of thousands. */
function parseIpv4(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(4);
  let at = 0;
  let start = 0;
  let value = 0;
  for (let i = 0; i <= text.length; i++) {
    const code = i < text.length ? text.charCodeAt(i) : DOT;
    if (code === DOT) {
      const leadingZero = i - start > 1 && text.charCodeAt(start) === ZERO;
      if (i === start || leadingZero || value > 255 || at === 4) return undefined;
      bytes[at++] = value;
      start = i + 1;
      value = 0;
    } else if (code >= ZERO && code <= NINE) {
      value = value * 10 + code - ZERO;
    } else {
      return undefined;
    }
  }
  return at === 4 ? bytes : undefined;
}

function parseIpv6(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(16);
  let at = 0;
  /** Where "::" is. */
  let gap = -1;
  let i = 0;
  if (text.startsWith("::")) {
    gap = 0;
    i = 2;
  }
  while (i < text.length) {
    const start = i;
    let word = 0;
    for (let digit = hexDigit(text, i); digit !== undefined; digit = hexDigit(text, ++i))
      word = word * 16 + digit;
    if (text.charCodeAt(i) === DOT) {
      const tail = parseIpv4(text.slice(start));
      if (tail === undefined || at > 12) return undefined;
      bytes.set(tail, at);
      at += 4;
      break;
    }
    if (i === start || i - start > 4 || at > 14) return undefined;
    bytes[at++] = word >> 8;
    bytes[at++] = word & 0xff;
    if (i === text.length) break;
    if (text.charCodeAt(i) !== COLON || ++i === text.length) return undefined;
    if (text.charCodeAt(i) === COLON) {
      if (gap !== -1) return undefined;
      gap = at;
      i++;
    }
  }
  if (gap === -1) return at === 16 ? bytes : undefined;
  // "::" stands for at least one word.
  if (at === 16) return undefined;
  bytes.copyWithin(16 - (at - gap), gap, at);
  bytes.fill(0, gap, 16 - (at - gap));
  return bytes;
}

function hexDigit(text: string, index: number): number | undefined {
  const code = text.charCodeAt(index);
  if (code >= ZERO && code <= NINE) return code - ZERO;
  // a to f, in either case.
  const letter = (code | 0x20) - 0x61;
  return letter >= 0 && letter < 6 ? letter + 10 : undefined;
}

/** Canonical text of the bytes at `offset`. */
export function formatAddress(bytes: Uint8Array, offset: number, family: Family): Address {
  if (family === 4) return formatIpv4(bytes, offset);
  // The longest run of at least two zero words, the first of several: "::".
  let start = -1;
  let length = 1;
  for (let word = 0; word < 8; word++) {
    let end = word;
    while (end < 8 && bytes[offset + 2 * end] === 0 && bytes[offset + 2 * end + 1] === 0) end++;
    if (end - word > length) {
      start = word;
      length = end - word;
    }
    if (end > word) word = end;
  }
  const isMapped = start === 0 && length === 5 && wordAt(bytes, offset, 5) === 0xffff;
  const isCompatible = start === 0 && length === 6;
  const end = isMapped || isCompatible ? 6 : 8;
  let text = "";
  for (let word = 0; word < end; word++) {
    if (word === start) {
      text += "::";
      word += length - 1;
      continue;
    }
    if (text !== "" && !text.endsWith(":")) text += ":";
    text += wordAt(bytes, offset, word).toString(16);
  }
  if (end === 8) return text;
  return `${text}${text.endsWith(":") ? "" : ":"}${formatIpv4(bytes, offset + 12)}`;
}

function formatIpv4(bytes: Uint8Array, offset: number): string {
  return `${bytes[offset]}.${bytes[offset + 1]}.${bytes[offset + 2]}.${bytes[offset + 3]}`;
}

function wordAt(bytes: Uint8Array, offset: number, word: number): number {
  return ((bytes[offset + 2 * word] ?? 0) << 8) | (bytes[offset + 2 * word + 1] ?? 0);
}

/** The netmask of a prefix length of 0 to 32. */
export function netmask(prefixLength: number): Address {
  const mask = prefixLength === 0 ? 0 : (0xffffffff << (32 - prefixLength)) >>> 0;
  return [24, 16, 8, 0].map((shift) => (mask >>> shift) & 0xff).join(".");
}

/**
 * Whether a canonical address is one that others than the host's own links can reach a host by: not 0/8, loopback,
 * multicast, reserved or broadcast; of IPv6 not ::/96, loopback, multicast, link-local or IPv4 in disguise.
 */
export function isUnicast(address: Address): boolean {
  // Each container's device on the host has one.
  if (address.startsWith("fe80:")) return false;
  const bytes = parseAddress(address);
  if (bytes === undefined) return false;
  const [first = 0, second = 0] = bytes;
  if (bytes.length === 4) return first !== 0 && first !== 127 && first < 224;
  if (first === 0xff || (first === 0xfe && (second & 0xc0) === 0x80)) return false;
  return bytes.subarray(0, 10).some((byte) => byte !== 0);
}

/** 127.0.0.0/8 and ::1, of a canonical address. */
export function isLoopback(address: Address): boolean {
  return address.startsWith("127.") || address === "::1";
}

/** An address as IPv6's, IPv4's in disguise: "::ffff:192.0.2.1"; canonical if it was. */
export function mapped(address: Address): Address {
  return familyOf(address) === 4 ? `::ffff:${address}` : address;
}

/** A canonical order for lists: IPv4 first, then by the bytes. */
export function compareAddresses(a: Address, b: Address): number {
  // Thousands of ports are published on one.
  if (a === b) return 0;
  const [x, y] = [parseAddress(a) ?? new Uint8Array(), parseAddress(b) ?? new Uint8Array()];
  return x.length - y.length || Buffer.compare(x, y);
}

/** "192.0.2.1:80", "[2001:db8::1]:80" */
export function withPort(address: Address, port: number): string {
  return familyOf(address) === 4 ? `${address}:${port}` : `[${address}]:${port}`;
}

/** Six bytes of "02:42:ac:11:00:02"; undefined for anything else. */
export function parseMac(text: string): Uint8Array | undefined {
  if (text.length !== 17) return undefined;
  const bytes = new Uint8Array(6);
  for (let at = 0; at < 6; at++) {
    const [high, low] = [hexDigit(text, 3 * at), hexDigit(text, 3 * at + 1)];
    if (high === undefined || low === undefined) return undefined;
    if (at > 0 && text.charCodeAt(3 * at - 1) !== COLON) return undefined;
    bytes[at] = high * 16 + low;
  }
  return bytes;
}

/** "02:42:ac:11:00:02" */
export function formatMac(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}
