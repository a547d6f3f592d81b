// A small reader of BTF, the type information of eBPF objects.
// Format: the kernel's Documentation/bpf/btf.rst; struct btf_header and struct btf_type are in include/uapi/linux/btf.h.

/**
 * @typedef {object} Member
 * @property {string} name empty: anonymous struct or union
 * @property {number} type
 * @property {number} bitOffset
 * @property {number} bitSize 0: not a bit-field
 *
 * @typedef {object} BtfType
 * @property {number} id
 * @property {string} kind
 * @property {string} name
 * @property {number} size bytes; int, enum, struct, union, datasec, float
 * @property {number} type what it refers to: ptr, typedef, const, volatile, var, func, array's element, ...
 * @property {Member[]} [members] struct, union
 * @property {{ name: string, value: bigint }[]} [values] enum, enum64
 * @property {boolean} [signed] enum, enum64, int
 * @property {boolean} [boolean] int
 * @property {number} [bits] int
 * @property {number} [length] array: number of elements
 * @property {{ type: number, offset: number, size: number }[]} [variables] datasec
 * @property {number} [linkage] var, func: 0 static, 1 global, 2 extern
 */

const kinds = [
  "void", "int", "ptr", "array", "struct", "union", "enum", "fwd", "typedef", "volatile", "const", "restrict",
  "func", "func_proto", "var", "datasec", "float", "decl_tag", "type_tag", "enum64",
]; // biome-ignore format: btf_kind's order, read best in rows

const MAGIC = 0xeb9f;

/**
 * @param {Buffer} data the section .BTF
 * @returns {BtfType[]} by type id; 0 is void
 * @throws {Error} when it is malformed
 */
export function readBtf(data) {
  if (data.length < 24 || data.readUInt16LE(0) !== MAGIC) throw new Error("no BTF: wrong magic number");
  const header = data.readUInt32LE(4);
  const typesAt = header + data.readUInt32LE(8);
  const typesEnd = typesAt + data.readUInt32LE(12);
  const strings = data.subarray(
    header + data.readUInt32LE(16),
    header + data.readUInt32LE(16) + data.readUInt32LE(20),
  );
  /** @param {number} offset */
  const text = (offset) => strings.toString("utf8", offset, strings.indexOf(0, offset));

  /** @type {BtfType[]} */
  const types = [{ id: 0, kind: "void", name: "", size: 0, type: 0 }];
  let at = typesAt;
  const next = () => {
    at += 4;
    return data.readUInt32LE(at - 4);
  };
  while (at < typesEnd) {
    const name = text(next());
    const info = next();
    const sizeOrType = next();
    const kind = kinds[(info >>> 24) & 31];
    if (kind === undefined) throw new Error(`BTF type ${types.length} is of an unknown kind`);
    const flag = info >>> 31 === 1;
    const sized = ["int", "enum", "struct", "union", "datasec", "float", "enum64"].includes(kind);
    /** @type {BtfType} */
    const type = { id: types.length, kind, name, size: sized ? sizeOrType : 0, type: sized ? 0 : sizeOrType };
    readDetail(type, { count: info & 0xffff, flag, next, text });
    types.push(type);
  }
  return types;
}

/**
 * What follows the common part, by kind.
 * @param {BtfType} type
 * @param {{ count: number, flag: boolean, next: () => number, text: (offset: number) => string }} input
 */
function readDetail(type, { count, flag, next, text }) {
  const times = Array.from({ length: count });
  switch (type.kind) {
    case "int": {
      const detail = next();
      type.signed = ((detail >>> 24) & 1) !== 0;
      type.boolean = ((detail >>> 24) & 4) !== 0;
      type.bits = detail & 0xff;
      break;
    }
    case "array":
      type.type = next();
      next();
      type.length = next();
      break;
    case "struct":
    case "union":
      type.members = times.map(() => {
        const name = text(next());
        const member = next();
        const offset = next();
        const [bitOffset, bitSize] = flag ? [offset & 0xffffff, offset >>> 24] : [offset, 0];
        return { name, type: member, bitOffset, bitSize };
      });
      break;
    case "enum":
      type.signed = flag;
      type.values = times.map(() => {
        const name = text(next());
        const value = next();
        return { name, value: BigInt(flag ? value | 0 : value) };
      });
      break;
    case "enum64":
      type.signed = flag;
      type.values = times.map(() => {
        const name = text(next());
        const value = BigInt(next()) | (BigInt(next()) << 32n);
        return { name, value: flag ? BigInt.asIntN(64, value) : value };
      });
      break;
    case "func_proto":
      for (let i = 0; i < count * 2; i++) next();
      break;
    case "func":
      type.linkage = count;
      break;
    case "var":
      type.linkage = next();
      break;
    case "datasec":
      type.variables = times.map(() => ({ type: next(), offset: next(), size: next() }));
      break;
    case "decl_tag":
      next();
      break;
  }
}
