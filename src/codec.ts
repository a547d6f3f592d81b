/**
 * Values to bytes and back, as C lays them out in BPF maps. The generated code (src/generated) is made of these.
 * Everything is little-endian, as the hosts that fairway runs on are, except what is named be*.
 */

import { type Address, byteLength, type Family, formatAddress, parseAddress } from "./ip.js";

/** How a value of type T is written to and read from bytes. */
export interface Codec<T> {
  /** Bytes, as C's sizeof. */
  readonly size: number;
  /** A new buffer of `size` bytes. RangeError when a number does not fit its field or an array has the wrong length. */
  encode(value: T): Buffer;
  /** Reads `size` bytes at `offset`. RangeError when there are fewer. */
  decode(buffer: Buffer, offset?: number): T;
  /** Writes into a buffer whose bytes there are zero (paddings are not written). */
  write(value: T, buffer: Buffer, offset: number): void;
  /** As decode, without the check. */
  read(buffer: Buffer, offset: number): T;
}

/**
 * Makes a codec of its two halves.
 * @param size bytes
 * @param write as Codec.write
 * @param read as Codec.read
 */
export function codec<T>(size: number, write: Codec<T>["write"], read: Codec<T>["read"]): Codec<T> {
  return {
    size,
    write,
    read,
    encode(value) {
      const buffer = Buffer.alloc(size);
      write(value, buffer, 0);
      return buffer;
    },
    decode(buffer, offset = 0) {
      if (offset < 0 || offset + size > buffer.length) {
        throw new RangeError(`${size} bytes wanted at offset ${offset} of a buffer of ${buffer.length}`);
      }
      return read(buffer, offset);
    },
  };
}

/** Unsigned 8-bit number. */
export const u8 = codec<number>(
  1,
  (value, buffer, offset) => void buffer.writeUInt8(value, offset),
  (buffer, offset) => buffer.readUInt8(offset),
);
/** Unsigned 16-bit number. */
export const u16 = codec<number>(
  2,
  (value, buffer, offset) => void buffer.writeUInt16LE(value, offset),
  (buffer, offset) => buffer.readUInt16LE(offset),
);
/** Unsigned 32-bit number. */
export const u32 = codec<number>(
  4,
  (value, buffer, offset) => void buffer.writeUInt32LE(value, offset),
  (buffer, offset) => buffer.readUInt32LE(offset),
);
/** Unsigned 64-bit number. */
export const u64 = codec<bigint>(
  8,
  (value, buffer, offset) => void buffer.writeBigUInt64LE(value, offset),
  (buffer, offset) => buffer.readBigUInt64LE(offset),
);
/** Signed 8-bit number. */
export const s8 = codec<number>(
  1,
  (value, buffer, offset) => void buffer.writeInt8(value, offset),
  (buffer, offset) => buffer.readInt8(offset),
);
/** Signed 16-bit number. */
export const s16 = codec<number>(
  2,
  (value, buffer, offset) => void buffer.writeInt16LE(value, offset),
  (buffer, offset) => buffer.readInt16LE(offset),
);
/** Signed 32-bit number. */
export const s32 = codec<number>(
  4,
  (value, buffer, offset) => void buffer.writeInt32LE(value, offset),
  (buffer, offset) => buffer.readInt32LE(offset),
);
/** Signed 64-bit number. */
export const s64 = codec<bigint>(
  8,
  (value, buffer, offset) => void buffer.writeBigInt64LE(value, offset),
  (buffer, offset) => buffer.readBigInt64LE(offset),
);
/**
 * Bits of a byte, as C's bit-field in a __u8.
 * @param shift where the lowest is
 * @param width how many
 */
export function bits(shift: number, width: number): Codec<number> {
  const mask = (1 << width) - 1;
  return codec(
    1,
    (value, buffer, offset) => {
      if (!Number.isInteger(value) || value < 0 || value > mask)
        throw new RangeError(`a number of ${width} bits wanted, not ${value}`);
      buffer.writeUInt8(buffer.readUInt8(offset) | (value << shift), offset);
    },
    (buffer, offset) => (buffer.readUInt8(offset) >> shift) & mask,
  );
}

/** C's bool. */
export const bool = codec<boolean>(
  1,
  (value, buffer, offset) => void buffer.writeUInt8(value ? 1 : 0, offset),
  (buffer, offset) => buffer.readUInt8(offset) !== 0,
);
/** A 16-bit number in network byte order (a port): the value is the number, 80 is 80. */
export const be16 = codec<number>(
  2,
  (value, buffer, offset) => void buffer.writeUInt16BE(value, offset),
  (buffer, offset) => buffer.readUInt16BE(offset),
);
/** A 32-bit number in network byte order (an IPv4 address): 192.0.2.1 is 0xc0000201. */
export const be32 = codec<number>(
  4,
  (value, buffer, offset) => void buffer.writeUInt32BE(value, offset),
  (buffer, offset) => buffer.readUInt32BE(offset),
);
/** A 64-bit number in network byte order. */
export const be64 = codec<bigint>(
  8,
  (value, buffer, offset) => void buffer.writeBigUInt64BE(value, offset),
  (buffer, offset) => buffer.readBigUInt64BE(offset),
);

/** struct ipv4_address, struct ipv6_address: the canonical text. RangeError for what is no address of the family. */
function address(family: Family): Codec<Address> {
  const size = byteLength(family);
  return codec(
    size,
    (value, buffer, offset) => {
      const bytes = parseAddress(value);
      if (bytes?.length !== size) {
        throw new RangeError(`an IPv${family} address wanted, not ${JSON.stringify(value)}`);
      }
      buffer.set(bytes, offset);
    },
    (buffer, offset) => formatAddress(buffer, offset, family),
  );
}
export const ipv4Address: Codec<Address> = address(4);
export const ipv6Address: Codec<Address> = address(6);

/**
 * An array of bytes of fixed length, such as a MAC address. What is read is a copy.
 * @param length number of bytes
 */
export function bytes(length: number): Codec<Uint8Array> {
  return codec(
    length,
    (value, buffer, offset) => {
      if (value.length !== length) throw new RangeError(`${length} bytes wanted, not ${value.length}`);
      buffer.set(value, offset);
    },
    (buffer, offset) => new Uint8Array(buffer.subarray(offset, offset + length)),
  );
}

/**
 * C's char array: text in UTF-8 that ends at the first NUL, or fills the array.
 * @param length bytes
 */
export function chars(length: number): Codec<string> {
  return codec(
    length,
    (value, buffer, offset) => {
      const size = Buffer.byteLength(value);
      if (size > length) throw new RangeError(`text of at most ${length} bytes wanted, not ${size}`);
      buffer.write(value, offset, length);
    },
    (buffer, offset) => {
      const end = buffer.indexOf(0, offset);
      return buffer.toString("utf8", offset, end === -1 ? offset + length : Math.min(end, offset + length));
    },
  );
}

/**
 * An array of fixed length.
 * @param element codec of one element
 * @param length number of elements
 */
export function array<T>(element: Codec<T>, length: number): Codec<T[]> {
  return codec(
    element.size * length,
    (value, buffer, offset) => {
      if (value.length !== length) throw new RangeError(`array of ${length} wanted, not ${value.length}`);
      value.forEach((one, index) => {
        element.write(one, buffer, offset + index * element.size);
      });
    },
    (buffer, offset) =>
      Array.from({ length }, (_, index) => element.read(buffer, offset + index * element.size)),
  );
}

/**
 * The values of a per-CPU map's entry, one per possible CPU: the kernel aligns each to 8 bytes.
 * @param element codec of one CPU's value
 * @param buffer as read from the map
 */
export function decodePerCpu<T>(element: Codec<T>, buffer: Buffer): T[] {
  const stride = Math.ceil(element.size / 8) * 8;
  return Array.from({ length: Math.floor(buffer.length / stride) }, (_, cpu) =>
    element.decode(buffer, cpu * stride),
  );
}

/** Of sumPerCpu(), used again and again: what is decoded from it is numbers, no views. */
let scratch = Buffer.alloc(256);

/**
 * The sum over all CPUs of a per-CPU map's value whose fields are all u64. Quicker than decoding each CPU's; exact up to 2^53.
 * @param element codec of one CPU's value
 * @param buffer with the values of all CPUs at `offset`
 * @param length bytes of those
 */
export function sumPerCpu<T>(element: Codec<T>, buffer: Buffer, offset: number, length: number): T {
  const { size } = element;
  if (scratch.length < size) scratch = Buffer.alloc(size);
  const sum = scratch;
  for (let field = 0; field + 8 <= size; field += 8) {
    let total = 0;
    for (let at = offset + field; at < offset + length; at += size)
      total += buffer.readUInt32LE(at) + buffer.readUInt32LE(at + 4) * 0x1_0000_0000;
    sum.writeUInt32LE(total % 0x1_0000_0000, field);
    sum.writeUInt32LE(Math.floor(total / 0x1_0000_0000), field + 4);
  }
  return element.decode(sum);
}
