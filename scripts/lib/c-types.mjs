// What the generator needs to know of a BTF type: which codec and which TypeScript type it is.

import { camel, pascal } from "./c-names.mjs";
import { Failure } from "./run.mjs";

/** @typedef {import("../btf.mjs").BtfType} BtfType */

/**
 * @typedef {object} Shape
 * @property {string} ts TypeScript's type
 * @property {string} codec an expression of the codec
 * @property {number} size bytes
 * @property {BtfType} [named] the struct, union or enum that it is, or is made of
 */

const skipped = ["typedef", "const", "volatile", "restrict", "type_tag"];
/** Structs that are text in TypeScript, with their codec and their size. */
export const addressStructs = new Map([
  ["ipv4_address", { codec: "ipv4Address", size: 4 }],
  ["ipv6_address", { codec: "ipv6Address", size: 16 }],
]);
const bigEndian = { __be16: 2, __be32: 4, __be64: 8 };

/**
 * @param {BtfType[]} types
 * @param {number} id
 * @returns {BtfType} without typedefs and qualifiers
 */
export function strip(types, id) {
  let type = types[id];
  while (skipped.includes(type.kind)) type = types[type.type];
  return type;
}

/**
 * Is it a typedef, at any depth, of one of these names?
 * @param {BtfType[]} types
 * @param {number} id
 * @returns {string | undefined}
 */
function bigEndianName(types, id) {
  for (let type = types[id]; skipped.includes(type.kind); type = types[type.type]) {
    if (type.kind === "typedef" && type.name in bigEndian) return type.name;
  }
  return undefined;
}

/**
 * @param {BtfType[]} types
 * @param {number} id
 * @param {string} where for the error
 * @returns {Shape}
 * @throws {Failure} for what a map can't sensibly hold: pointers, floats, integers of odd size
 */
export function shapeOf(types, id, where) {
  const swapped = bigEndianName(types, id);
  if (swapped)
    return {
      ts: swapped === "__be64" ? "bigint" : "number",
      codec: swapped.slice(2),
      size: strip(types, id).size,
    };
  const type = strip(types, id);
  switch (type.kind) {
    case "int": {
      if (type.boolean) return { ts: "boolean", codec: "bool", size: 1 };
      if (![1, 2, 4, 8].includes(type.size)) break;
      const codec = `${type.signed ? "s" : "u"}${type.size * 8}`;
      return { ts: type.size === 8 ? "bigint" : "number", codec, size: type.size };
    }
    case "enum":
    case "enum64": {
      const codec = `${type.signed ? "s" : "u"}${type.size * 8}`;
      return { ts: type.size === 8 ? "bigint" : "number", codec, size: type.size, named: type };
    }
    case "struct":
    case "union":
      if (type.name === "") throw new Failure(`${where}: a struct or union of a map needs a name`);
      if (addressStructs.has(type.name)) return addressShape(type);
      return { ts: pascal(type.name), codec: `${camel(type.name)}Codec`, size: type.size, named: type };
    case "array": {
      const length = type.length ?? 0;
      const element = strip(types, type.type);
      if (element.kind === "int" && element.size === 1 && !element.boolean) {
        const text = element.name === "char";
        return {
          ts: text ? "string" : "Uint8Array",
          codec: `${text ? "chars" : "bytes"}(${length})`,
          size: length,
        };
      }
      const inner = shapeOf(types, type.type, where);
      const { named } = inner;
      return {
        ts: `${inner.ts}[]`,
        codec: `array(${inner.codec}, ${length})`,
        size: inner.size * length,
        named,
      };
    }
  }
  throw new Failure(`${where}: no codec for ${type.kind} ${type.name}`);
}

/** @param {BtfType} type @returns {Shape} */
function addressShape(type) {
  const { codec, size } = addressStructs.get(type.name) ?? { codec: "", size: -1 };
  if (type.size !== size) throw new Failure(`struct ${type.name} has ${type.size} bytes, not ${size}`);
  return { ts: "string", codec, size };
}

/**
 * Of bits within a byte: what lies in several has another order of bytes elsewhere.
 * @param {BtfType} base
 * @param {{ bitOffset: number, bitSize: number }} member
 * @param {string} where for the error
 * @returns {Shape}
 */
function bitsShape(base, { bitOffset, bitSize }, where) {
  if (base.kind !== "int" || base.size !== 1 || base.signed || base.boolean)
    throw new Failure(`${where}: bit-fields have a codec only in a __u8`);
  return { ts: "number", codec: `bits(${bitOffset % 8}, ${bitSize})`, size: 1 };
}

/**
 * @typedef {object} Field
 * @property {string} name TypeScript's
 * @property {number} offset bytes
 * @property {Shape} shape
 * @property {boolean} optional an arm of a union
 */

/**
 * The fields of a struct or union in order; paddings are left out, anonymous members opened.
 * @param {BtfType[]} types
 * @param {BtfType} owner
 * @param {{ base?: number, arm?: boolean, where?: string }} [outer]
 * @returns {Field[]}
 */
export function fieldsOf(types, owner, { base = 0, arm = false, where = owner.name } = {}) {
  const optional = arm || owner.kind === "union";
  return (owner.members ?? []).flatMap((member) => {
    const place = `${where}.${member.name || "(anonymous)"}`;
    const offset = base + Math.floor(member.bitOffset / 8);
    if (member.name.startsWith("pad")) return [];
    if (member.bitSize !== 0) {
      const shape = bitsShape(strip(types, member.type), member, place);
      return [{ name: camel(member.name), offset, shape, optional }];
    }
    const type = strip(types, member.type);
    if (member.name === "" && (type.kind === "struct" || type.kind === "union")) {
      if (type.kind === "struct" && optional) {
        throw new Failure(`${place}: an anonymous struct in a union needs a name`);
      }
      return fieldsOf(types, type, { base: offset, arm: optional, where });
    }
    return [{ name: camel(member.name), offset, shape: shapeOf(types, member.type, place), optional }];
  });
}

/**
 * Bytes of a key that no member covers: the compiler's padding, whose content is anybody's guess in C while the kernel
 * compares it.
 * @param {BtfType[]} types
 * @param {number} id
 * @returns {string | undefined} where the first hole is
 */
export function holeIn(types, id) {
  const type = strip(types, id);
  if (type.kind !== "struct") return undefined;
  let end = 0;
  for (const member of type.members ?? []) {
    const inner = holeIn(types, member.type);
    if (inner) return inner;
    const missing = member.bitOffset - end;
    if (missing > 0) return `${type.name}.${member.name} (${amount(missing)} before it)`;
    end = member.bitOffset + (member.bitSize || 8 * sizeOf(types, member.type));
  }
  const missing = 8 * type.size - end;
  return missing > 0 ? `${type.name} (${amount(missing)} at its end)` : undefined;
}

/** @param {number} bits */
function amount(bits) {
  return bits % 8 === 0 ? `${bits / 8} bytes` : `${bits} bits`;
}

/**
 * @param {BtfType[]} types
 * @param {number} id
 * @returns {number}
 */
function sizeOf(types, id) {
  const type = strip(types, id);
  if (type.kind === "array") return (type.length ?? 0) * sizeOf(types, type.type);
  return type.kind === "ptr" ? 8 : type.size;
}
