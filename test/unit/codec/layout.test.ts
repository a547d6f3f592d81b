/**
 * The codecs that fairway uses against the C compiler: every member of every struct of bpf/lib/types.h stands where
 * offsetof says and is as long as sizeof says.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { type Codec, ipv4Address, ipv6Address } from "../../../src/codec.js";
import * as generated from "../../../src/generated/index.js";
import { root, runCText } from "./native.js";

const header = join(root, "bpf", "lib", "types.h");
const camel = (name: string): string => name.replace(/_+(.)/g, (_, letter: string) => letter.toUpperCase());

/** Structs and their members, paddings too, as types.h has them. */
const structs = [...readFileSync(header, "utf8").matchAll(/^struct (\w+) \{\n([^}]*)\};/gm)].map(
  ([, name, body]) => ({
    name: name as string,
    members: [...(body as string).matchAll(/^\t([\w ]+)[ *](\w+)((?:\[[^\]]+\])*)( : \d+)?;/gm)].map(
      ([, type, member, array, bits]) => ({
        name: member as string,
        struct: array === "" ? /^struct (\w+)$/.exec(type as string)?.[1] : undefined,
        isBits: bits !== undefined,
      }),
    ),
  }),
);
/** Text in TypeScript: their codecs are not generated. */
const handMade: Readonly<Record<string, Codec<unknown>>> = {
  ipv4_address: ipv4Address,
  ipv6_address: ipv6Address,
};

/** mask: of a bit-field, which lies in one byte. */
const places = new Map<string, { offset: number; size: number; mask: number }>();

beforeAll(() => {
  const lines = structs.flatMap(({ name, members }) => [
    `printf("${name} 0 %zu\\n", sizeof(struct ${name}));`,
    ...members.map(({ name: member, isBits }) => {
      // C tells of bit-fields neither place nor size: all ones in one, zero elsewhere.
      if (isBits)
        return `{ union { struct ${name} of; unsigned char byte[sizeof(struct ${name})]; } u = { .of = { .${member} = -1 } };
          for (size_t at = 0; at < sizeof(u); at++) if (u.byte[at]) printf("${name}.${member} %zu 1 %u\\n", at, u.byte[at]); }`;
      const size = `sizeof(((struct ${name} *)0)->${member})`;
      return `printf("${name}.${member} %zu %zu\\n", offsetof(struct ${name}, ${member}), ${size});`;
    }),
  ]);
  const program = `#include "types.h"\n#include <stdio.h>\n#include <stddef.h>\nint main(void) { ${lines.join("\n")} }\n`;
  for (const line of runCText("layout", program, [join(root, "bpf", "lib")])) {
    const [name, offset, size, mask = 0xff] = line.split(" ");
    places.set(name as string, { offset: Number(offset), size: Number(size), mask: Number(mask) });
  }
}, 60_000);

test("types.h is understood by this test", () => {
  expect(structs.length).toBeGreaterThan(10);
  for (const { name, members } of structs) expect(members.length, name).toBeGreaterThan(0);
});

test.each(Object.entries(handMade))("struct %s is an address, and nothing else", (name, codec) => {
  expect(codec.size).toBe(places.get(name)?.size);
  expect(codec.read(Buffer.alloc(codec.size, 0xff), 0)).toMatch(/^(255[.]?){4}$|^(ffff:?){8}$/);
});

/** The bytes of a member, without the paddings that are somewhere in a struct. */
function fill(
  bytes: Buffer,
  at: number,
  owner: string,
  member: { name: string; struct: string | undefined },
) {
  const { offset, size, mask } = places.get(`${owner}.${member.name}`) ?? { offset: 0, size: 0, mask: 0 };
  const inner = structs.find(({ name }) => name === member.struct);
  for (let byte = at + offset; inner === undefined && byte < at + offset + size; byte++)
    bytes[byte] = (bytes[byte] ?? 0) | mask;
  for (const one of inner?.members ?? []) {
    if (!one.name.startsWith("pad")) fill(bytes, at + offset, inner?.name ?? "", one);
  }
}

describe.each(structs.filter(({ name }) => !(name in handMade)))("struct $name", ({ name, members }) => {
  const codec = (generated as Record<string, unknown>)[`${camel(name)}Codec`] as Codec<
    Record<string, unknown>
  >;

  test("has C's size", () => {
    expect(codec.size).toBe(places.get(name)?.size);
  });

  test("has no member more or less than C, and no padding", () => {
    const wanted = members.map((member) => member.name).filter((member) => !member.startsWith("pad"));
    expect(Object.keys(codec.decode(Buffer.alloc(codec.size))).sort()).toEqual(wanted.map(camel).sort());
  });

  test.each(members.filter((member) => !member.name.startsWith("pad")))(
    "$name is where C has it",
    (member) => {
      // All ones in one member, zero elsewhere: the bytes that change are the member's.
      const zero = codec.decode(Buffer.alloc(codec.size));
      const ones = codec.decode(Buffer.alloc(codec.size, 0xff));
      const bytes = codec.encode({ ...zero, [camel(member.name)]: ones[camel(member.name)] });
      const expected = Buffer.alloc(codec.size);
      fill(expected, 0, name, member);
      expect(bytes.toString("hex")).toBe(expected.toString("hex"));
    },
  );
});
