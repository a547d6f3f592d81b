// A small reader of 64-bit little-endian ELF files: sections and symbols.
// Format: System V ABI, chapters 4 "Object Files" and "Symbol Table" (elf(5) has the same structures).

/**
 * @typedef {object} Section
 * @property {string} name
 * @property {number} type SHT_*
 * @property {number} flags SHF_*
 * @property {Buffer} data empty for SHT_NOBITS
 * @property {number} size
 * @property {number} link
 *
 * @typedef {object} Symbol_
 * @property {string} name
 * @property {"notype" | "object" | "func" | "section" | "other"} type
 * @property {"local" | "global" | "weak" | "other"} binding
 * @property {number} value offset in its section
 * @property {number} size
 * @property {Section | undefined} section undefined: not defined here
 */

const SHT_SYMTAB = 2;
const SHT_NOBITS = 8;

/** @param {Buffer} table @param {number} offset */
function stringAt(table, offset) {
  return table.toString("utf8", offset, table.indexOf(0, offset));
}

/**
 * @param {Buffer} file
 * @returns {{ sections: Section[], symbols: Symbol_[] }}
 * @throws {Error} when it is not such a file
 */
export function readElf(file) {
  if (file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1) {
    throw new Error("not a 64-bit little-endian ELF file");
  }
  const start = Number(file.readBigUInt64LE(0x28));
  const entrySize = file.readUInt16LE(0x3a);
  const count = file.readUInt16LE(0x3c);
  const namesIndex = file.readUInt16LE(0x3e);

  const headers = Array.from({ length: count }, (_, index) => {
    const at = start + index * entrySize;
    const type = file.readUInt32LE(at + 4);
    const offset = Number(file.readBigUInt64LE(at + 0x18));
    const size = Number(file.readBigUInt64LE(at + 0x20));
    return {
      nameOffset: file.readUInt32LE(at),
      type,
      flags: Number(file.readBigUInt64LE(at + 8)),
      data: type === SHT_NOBITS ? Buffer.alloc(0) : file.subarray(offset, offset + size),
      size,
      link: file.readUInt32LE(at + 0x28),
    };
  });
  const sections = headers.map(({ nameOffset, ...rest }) => ({
    name: stringAt(headers[namesIndex].data, nameOffset),
    ...rest,
  }));
  return { sections, symbols: readSymbols(sections) };
}

/**
 * @param {Section[]} sections
 * @returns {Symbol_[]}
 */
function readSymbols(sections) {
  const table = sections.find((section) => section.type === SHT_SYMTAB);
  if (!table) return [];
  const names = sections[table.link].data;
  /** @type {Symbol_[]} */
  const symbols = [];
  for (let at = 0; at < table.data.length; at += 24) {
    const info = table.data[at + 4];
    symbols.push({
      name: stringAt(names, table.data.readUInt32LE(at)),
      type: /** @type {const} */ (["notype", "object", "func", "section"])[info & 15] ?? "other",
      binding: /** @type {const} */ (["local", "global", "weak"])[info >> 4] ?? "other",
      section: sections[table.data.readUInt16LE(at + 6) || -1],
      value: Number(table.data.readBigUInt64LE(at + 8)),
      size: Number(table.data.readBigUInt64LE(at + 16)),
    });
  }
  return symbols;
}
