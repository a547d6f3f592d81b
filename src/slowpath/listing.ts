/** Reads `nft --json list table`, to see whether a table is as it was written. Pure. */

import { createHash } from "node:crypto";
import { canonical } from "../ip.js";
import type { NamedSet, Table } from "./script.js";

/** What of libnftables-json(5) is read here. */
interface Listed {
  set?: ListedSet;
  map?: ListedSet;
  chain?: { name?: string; handle?: unknown };
  rule?: { chain?: string; handle?: unknown };
}

interface ListedSet {
  name?: string;
  handle?: unknown;
  elem?: unknown[];
}

/** Numbers that nft prints where the system has no names for them. */
const PROTOCOLS: Readonly<Record<string, string>> = { 6: "tcp", 17: "udp", 132: "sctp" };

type IndexOf = (name: string) => number | undefined;

/** What a listing shows of a table. */
export interface Seen {
  /** Every set has the planned elements, every chain as many rules as planned, and there is nothing else. */
  asPlanned: boolean;
  /** Of all but the elements: the same as long as nobody changes a rule, a chain or a set's type. */
  structure: string;
}

/**
 * @param listing what nft printed
 * @param indexOf a device's ifindex by its name, which is how nft shows it
 */
export function see(listing: string, table: Table, indexOf: IndexOf): Seen {
  const objects = (JSON.parse(listing) as { nftables: Listed[] }).nftables;
  const sets = new Map(objects.flatMap(({ set, map }) => set ?? map ?? []).map((one) => [one.name, one]));
  const rules = new Map<string | undefined, number>();
  for (const { chain } of objects) if (chain !== undefined) rules.set(chain.name, 0);
  for (const { rule } of objects)
    if (rule !== undefined) rules.set(rule.chain, (rules.get(rule.chain) ?? 0) + 1);
  const asPlanned =
    sets.size === table.sets.length &&
    rules.size === table.chains.length &&
    table.chains.every(({ name, rules: planned }) => rules.get(name) === planned.length) &&
    table.sets.every((set) => hasElements(sets.get(set.name), set, indexOf));
  return { asPlanned, structure: structureOf(objects) };
}

function structureOf(objects: readonly Listed[]): string {
  const bare = JSON.stringify(objects, (key, value) => {
    if (key === "handle" || key === "elem" || key === "metainfo") return undefined;
    return value;
  });
  return createHash("sha256").update(bare).digest("hex");
}

function hasElements(set: ListedSet | undefined, { type, elements }: NamedSet, indexOf: IndexOf): boolean {
  const listed = set?.elem ?? [];
  if (set === undefined || listed.length !== elements.size) return false;
  const [keyTypes = [], valueTypes = []] = type.split(" : ").map((types) => types.split(" . "));
  const found = new Map(
    listed.map((one) => {
      const [key, value]: unknown[] = Array.isArray(one) ? one : [one];
      return [textOf(key, keyTypes, indexOf), value === undefined ? "" : textOf(value, valueTypes, indexOf)];
    }),
  );
  for (const [key, value] of elements) if (found.get(key.replaceAll('"', "")) !== value) return false;
  return true;
}

/** A key or a value of an element as it is planned, without quotes. */
function textOf(element: unknown, types: readonly string[], indexOf: IndexOf): string {
  const { concat = [element], elem } = (typeof element === "object" && element !== null ? element : {}) as {
    concat?: unknown[];
    elem?: { val?: unknown };
  };
  if (elem !== undefined) return textOf(elem.val, types, indexOf);
  return concat.map((part, i) => partOf(part, types[i], indexOf)).join(" . ");
}

function partOf(part: unknown, type: string | undefined, indexOf: IndexOf): string {
  const text = String(part);
  if (type === "iface_index" && typeof part === "string") return String(indexOf(text) ?? text);
  if (type === "inet_proto") return PROTOCOLS[text] ?? text;
  return type === "ipv6_addr" ? (canonical(text) ?? text) : text;
}
