/**
 * The generator against C: a fixture with every kind of member is compiled twice, for eBPF (whose BTF the codecs are
 * generated from) and for this machine (which prints the bytes that a C program writes).
 */
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { Codec } from "../../../src/codec.js";
import { root, runC, script, work } from "./native.js";

const fixture = join(root, "test", "unit", "codec", "fixture");
const generated = join(work, "generated");

interface Definition {
  key?: Codec<unknown>;
  value?: Codec<unknown>;
  type: string;
  maxEntries: number;
  flags: number;
  perCpu: boolean;
}
interface Generated {
  [name: string]: unknown;
  mapDefinitions: Record<string, Definition>;
  programNames: string[];
  constants: Record<string, Codec<unknown>>;
}

let modules: Generated;
let written: Map<string, string>;

/** Generates the modules of a directory of C sources and loads them. */
async function generate(from: string, name: string): Promise<Generated> {
  const object = join(work, name, "fixture.bpf.o");
  script("bpf.mjs", "--from", from, "--to", object);
  script(
    "codegen.mjs",
    "--object",
    object,
    "--to",
    join(generated, name),
    "--codec",
    join(root, "src", "codec.js"),
  );
  return (await import(join(generated, name, "index.ts"))) as Generated;
}

beforeAll(async () => {
  modules = await generate(fixture, "fixture");
  const lines = runC("print", join(fixture, "print.c"), [fixture, join(root, "bpf", "lib")]);
  written = new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), line.slice(line.lastIndexOf(" ") + 1)]),
  );
}, 60_000);

/** What C wrote under a name is what the codec writes, and it reads back as the value. */
function same(name: string, codecName: string, value: object, readsAs: object = value): void {
  const codec = modules[codecName] as Codec<object>;
  const hex = written.get(name);
  expect(hex, `the C program printed ${name}`).toBeDefined();
  expect(codec.encode(value).toString("hex")).toBe(hex);
  expect(codec.size).toBe((hex ?? "").length / 2);
  expect(codec.decode(Buffer.from(hex ?? "", "hex"))).toEqual(readsAs);
  // At an offset, with other bytes around.
  const shifted = Buffer.concat([
    Buffer.alloc(5, 0xee),
    Buffer.from(hex ?? "", "hex"),
    Buffer.alloc(3, 0xee),
  ]);
  expect(codec.decode(shifted, 5)).toEqual(readsAs);
}

const inside = { small: 6, middle: 7, port: 8 };
const outside = { snakeCaseName: 5, inside, first: 9, second: 10, last: 11 };

describe("bytes that C wrote", () => {
  test("numbers of every size, signed and not, booleans and enums", () => {
    same("numbers", "numbersCodec", {
      a: 0xfe,
      b: -2,
      c: 0xabcd,
      d: -12345,
      e: 0xdeadbeef,
      f: -123456789,
      g: 0xfedcba9876543210n,
      h: -1234567890123456789n,
      yes: true,
      no: false,
      colour: -3,
    });
  });

  test("network byte order, also behind typedefs, const and in arrays", () => {
    same("network_order", "networkOrderCodec", {
      port: 8080,
      aliased: 443,
      address: 0xc0000201,
      wide: 0x0102030405060708n,
      several: [1, 0x0a000001],
    });
  });

  test("arrays of bytes, text, numbers, structs and arrays", () => {
    same("arrays", "arraysCodec", {
      mac: Uint8Array.of(2, 0x42, 0xac, 0x11, 0, 2),
      name: "eth0",
      full: "full",
      shorts: [1000, 1001, 1002],
      nested: [
        { small: 1, middle: 300, port: 8000 },
        { small: 2, middle: 301, port: 8001 },
      ],
      grid: [
        [0, 1, 2],
        [10, 11, 12],
      ],
      colours: [7, 0],
      longs: [1n << 63n],
    });
  });

  test("unions: the arm that is given is written, all arms are read", () => {
    const v6 = Uint8Array.from({ length: 16 }, (_, index) => 0x20 + index);
    const onlyV4 = Uint8Array.of(0xc6, 0x12, 0, 1, ...new Uint8Array(12));
    same(
      "holder v4",
      "holderCodec",
      { ...outside, address: { v4: 0xc6120001 }, swapped: 0x01020304 },
      {
        ...outside,
        address: { v4: 0xc6120001, v6: onlyV4, parts: { small: 0xc6, middle: 0x0100, port: 0 } },
        swapped: 0x01020304,
        number: 0x04030201,
      },
    );
    same(
      "holder v6",
      "holderCodec",
      { ...outside, address: { v6 }, number: 0x01020304 },
      {
        ...outside,
        address: { v4: 0x20212223, v6, parts: { small: 0x20, middle: 0x2322, port: 0x2425 } },
        number: 0x01020304,
        swapped: 0x04030201,
      },
    );
    const codec = modules.holderCodec as Codec<object>;
    const parts = { small: 0, middle: 0x1234, port: 0 };
    expect(codec.encode({ ...outside, address: { parts }, number: 0x01020304 }).toString("hex")).toBe(
      written.get("holder parts"),
    );
  });

  test("bit-fields within a byte", () => {
    same("flags", "flagsCodec", { before: 0x1234, low: 1, middle: 2, high: 9, after: 0xfe });
  });

  test("packed structs, and types that no map refers to", () => {
    same("packed_key", "packedKeyCodec", { kind: 1, address: 0x7f000001, rest: 2 });
    same("lone_event", "loneEventCodec", { when: 1n, what: 2 });
  });
});

describe("what the object holds", () => {
  test("enums with their prefix taken off, also those that only their constants use", () => {
    expect(modules.Colour).toEqual({ RED: 0, DARK_BLUE: 7, NEGATIVE: -3 });
    expect(modules.ColourName).toEqual({ 0: "red", 7: "dark_blue", [-3]: "negative" });
    expect(modules.Lone).toEqual({ ONLY: 5 });
  });

  test("integer macros of types.h", () => {
    expect([modules.SOME_LIMIT, modules.ALL_ONES]).toEqual([4096, 0xffffffff]);
  });

  test("maps, each once though two sources have them", () => {
    const { holders, numbers_by_index, events, ...none } = modules.mapDefinitions;
    expect(none).toEqual({});
    expect(holders).toMatchObject({ type: "hash", maxEntries: 7, flags: 1, perCpu: false });
    expect(holders?.key).toBe(modules.packedKeyCodec);
    expect(holders?.value).toBe(modules.holderCodec);
    expect(numbers_by_index).toMatchObject({
      type: "percpu_array",
      maxEntries: 4096,
      flags: 0,
      perCpu: true,
    });
    expect(numbers_by_index?.key?.size).toBe(4);
    expect(events).toMatchObject({ type: "ringbuf", maxEntries: 4096 });
    expect(events?.key).toBeUndefined();
  });

  test("programs, without their helpers", () => {
    expect(modules.programNames).toEqual(["first", "second"]);
  });

  test("constants that the loader sets", () => {
    expect(Object.keys(modules.constants).sort()).toEqual([
      "plain_constant",
      "struct_constant",
      "swapped_constant",
    ]);
    expect(modules.constants.swapped_constant?.encode(0xc0000201)).toEqual(Buffer.from([0xc0, 0, 2, 1]));
    expect(modules.constants.struct_constant).toBe(modules.innerCodec);
  });
});

describe("what is refused", () => {
  /** A fresh copy of the fixture, to be spoiled. */
  function copyFixture(directory: string): void {
    rmSync(directory, { recursive: true, force: true });
    cpSync(fixture, directory, { recursive: true });
  }

  /** The generator's last words on a types.h whose struct is a map's key. */
  function refusal(name: string, members: string): string {
    const directory = join(work, name, "source");
    copyFixture(directory);
    const types = join(directory, "types.h");
    writeFileSync(
      types,
      readFileSync(types, "utf8").replace(
        /struct packed_key \{[^}]*\}[^;]*;/,
        `struct packed_key { ${members} };`,
      ),
    );
    const object = join(work, name, "fixture.bpf.o");
    script("bpf.mjs", "--from", directory, "--to", object);
    try {
      script("codegen.mjs", "--object", object, "--to", join(generated, name));
    } catch (error) {
      return String((error as { stderr: Buffer }).stderr)
        .trim()
        .split("\n")
        .at(-1) as string;
    }
    return "nothing";
  }

  test("a key with padding that has no name: C may leave anything in it", () => {
    expect(refusal("hole", "__u8 kind; __be32 address;")).toMatch(
      /map holders: its key has unnamed padding at packed_key.address \(3 bytes before it\)/,
    );
    expect(refusal("tail", "__be32 address; __u8 kind;")).toMatch(/packed_key \(3 bytes at its end\)/);
  });

  test("a key of whose bits some have no name", () => {
    expect(refusal("bit_hole", "__u8 low : 4; __u8 high : 3;")).toMatch(
      /map holders: its key has unnamed padding at packed_key \(1 bits at its end\)/,
    );
  });

  test("bit-fields of more than a byte, and pointers", () => {
    expect(refusal("bits", "__u32 low : 4; __u32 high : 28;")).toMatch(
      /packed_key.low: bit-fields have a codec only in a __u8/,
    );
    expect(refusal("pointer", "void *address;")).toMatch(/packed_key.address: no codec for ptr/);
  });

  test("two sources that disagree on a layout", () => {
    const directory = join(work, "disagree", "source");
    copyFixture(directory);
    const source = join(directory, "two.bpf.c");
    writeFileSync(source, readFileSync(source, "utf8").replace('#include "maps.h"', otherLayout));
    const object = join(work, "disagree", "fixture.bpf.o");
    script("bpf.mjs", "--from", directory, "--to", object);
    expect(() => script("codegen.mjs", "--object", object, "--to", join(generated, "disagree"))).toThrow(
      /two sources disagree on the layout of struct lone_event/,
    );
  });
});

const otherLayout = `#define lone_event other_event
#include "maps.h"
#undef lone_event
struct lone_event { __u32 what; __u32 why; };
struct {
  __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1); __type(key, __u32); __type(value, struct lone_event);
} other SEC(".maps");`;
