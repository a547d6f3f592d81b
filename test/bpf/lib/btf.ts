/** Changes to an object file that its loader has no call for. */
import { readFileSync } from "node:fs";
import { readElf } from "../../../scripts/lib/elf.mjs";
import { objectPath } from "./datapath.js";

/** BPF_MAP_TYPE_* */
const mapType = { hash: 1, lruHash: 9 } as const;
/** BTF_KIND_*, and what follows a type of the kind: so many bytes, or so many for each member. */
const kindArray = 3;
const fixed: Readonly<Record<number, number>> = { 1: 4, [kindArray]: 12, 14: 4, 17: 4 };
const perMember: Readonly<Record<number, number>> = { 4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12 };

/**
 * The object with plain hash tables for its LRU ones. Those never refuse an entry, so that what is done when one is refused
 * could not be seen. A map's type is the length of an array type of its definition's (libbpf's __uint).
 */
export function withoutLru(): Buffer {
  const image = readFileSync(objectPath);
  const btf = readElf(image).sections.find(({ name }) => name === ".BTF")?.data;
  if (btf === undefined) throw new Error("no BTF");
  const start = btf.readUInt32LE(4) + btf.readUInt32LE(8);
  const end = start + btf.readUInt32LE(12);
  let changed = 0;
  for (let at = start; at < end; ) {
    const info = btf.readUInt32LE(at + 4);
    const kind = (info >>> 24) & 0x1f;
    if (kind === kindArray && btf.readUInt32LE(at + 20) === mapType.lruHash) {
      btf.writeUInt32LE(mapType.hash, at + 20);
      changed += 1;
    }
    at += 12 + (fixed[kind] ?? 0) + (perMember[kind] ?? 0) * (info & 0xffff);
  }
  if (changed !== 1) throw new Error(`${changed} array types of that length`);
  return image;
}
