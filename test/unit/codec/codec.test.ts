import { describe, expect, test } from "vitest";
import {
  array,
  be32,
  bits,
  bool,
  bytes,
  chars,
  decodePerCpu,
  s16,
  u8,
  u32,
  u64,
} from "../../../src/codec.js";

describe("scalar codecs", () => {
  test("refuse numbers that do not fit, instead of cutting them", () => {
    expect(() => u8.encode(256)).toThrow(RangeError);
    expect(() => u8.encode(-1)).toThrow(RangeError);
    expect(() => s16.encode(40_000)).toThrow(RangeError);
    expect(() => u32.encode(2 ** 32)).toThrow(RangeError);
    expect(() => be32.encode(-1)).toThrow(RangeError);
    expect(() => u64.encode(1n << 64n)).toThrow(RangeError);
  });

  test("refuse to read past the end", () => {
    expect(() => u32.decode(Buffer.alloc(3))).toThrow(RangeError);
    expect(() => u32.decode(Buffer.alloc(8), 5)).toThrow(RangeError);
    expect(() => u32.decode(Buffer.alloc(8), -1)).toThrow(RangeError);
    expect(u32.decode(Buffer.alloc(8, 1), 4)).toBe(0x01010101);
  });

  test("bits share a byte, and refuse numbers that do not fit", () => {
    const byte = Buffer.of(0b1000_0001);
    bits(1, 2).write(3, byte, 0);
    expect(byte[0]).toBe(0b1000_0111);
    expect(bits(1, 2).decode(byte)).toBe(3);
    expect(bits(7, 1).decode(byte)).toBe(1);
    for (const value of [4, -1, 0.5]) expect(() => bits(1, 2).encode(value)).toThrow(RangeError);
  });

  test("bool reads anything but zero as true", () => {
    expect([0, 1, 2].map((value) => bool.decode(Buffer.of(value)))).toEqual([false, true, true]);
  });
});

describe("arrays", () => {
  test("of another length are refused", () => {
    expect(() => bytes(6).encode(new Uint8Array(5))).toThrow("6 bytes wanted, not 5");
    expect(() => array(u32, 2).encode([1])).toThrow("array of 2 wanted, not 1");
  });

  test("of bytes are copies: later changes of the buffer don't reach them", () => {
    const buffer = Buffer.from([1, 2, 3]);
    const read = bytes(3).decode(buffer);
    buffer.fill(9);
    expect(read).toEqual(Uint8Array.of(1, 2, 3));
  });

  test("of characters count bytes, not letters, and stop at the first NUL or the end", () => {
    const name = chars(4);
    expect(name.encode("é")).toEqual(Buffer.from([0xc3, 0xa9, 0, 0]));
    expect(() => name.encode("éée")).toThrow("at most 4 bytes wanted, not 5");
    expect(name.decode(Buffer.from("ab\0d"))).toBe("ab");
    expect(name.decode(Buffer.from("abcdefg"), 1)).toBe("bcde");
    expect(name.decode(Buffer.from("abcdef\0"), 1)).toBe("bcde");
  });
});

test("per-CPU values stand 8 bytes apart, however short they are", () => {
  const buffer = Buffer.alloc(24);
  buffer.writeUInt32LE(1, 0);
  buffer.writeUInt32LE(2, 8);
  buffer.writeUInt32LE(3, 16);
  expect(decodePerCpu(u32, buffer)).toEqual([1, 2, 3]);
});
