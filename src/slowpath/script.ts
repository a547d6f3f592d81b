/** What `nft -f` is given to write a table, and to turn one into another. Pure. */

/** The table, by family and name. */
export const TABLE = "inet fairway";

/** A table of nftables. */
export interface Table {
  readonly sets: readonly NamedSet[];
  /** Each after those that it jumps to. */
  readonly chains: readonly Chain[];
}

/** Keys, as nft writes them, with what they map to; of a set "". */
export type Elements = ReadonlyMap<string, string>;

export interface NamedSet {
  readonly kind: "set" | "map";
  readonly name: string;
  readonly type: string;
  readonly elements: Elements;
}

export interface Chain {
  readonly name: string;
  /** Undefined: it is jumped to. */
  readonly hook?: string;
  readonly rules: readonly string[];
}

/** The script that puts the table in the place of the one that there may be, in one transaction. */
export function writing({ sets, chains }: Table): string {
  const parts = [
    ...sets.map(({ kind, name, type, elements }) => {
      const list = elements.size === 0 ? "" : `\n\t\telements = { ${listed(elements)} }`;
      return `\t${kind} ${name} {\n\t\ttype ${type}${list}\n\t}`;
    }),
    ...chains.map(({ name, hook, rules }) =>
      [`\tchain ${name} {`, ...[hook ?? [], ...rules].flat().map((line) => `\t\t${line}`), "\t}"].join("\n"),
    ),
  ];
  return `${removing()}table ${TABLE} {\n${parts.join("\n")}\n}\n`;
}

/** The script that takes the table away, whether it is there or not. */
export function removing(): string {
  return `table ${TABLE}\ndelete table ${TABLE}\n`;
}

/**
 * The script that turns one table into the other: the elements and the chains that differ, in one transaction.
 * @returns "": nothing differs
 */
export function changing(from: Table, to: Table): string {
  const before = new Map(from.sets.map((one) => [one.name, one]));
  const rules = new Map(from.chains.map((one) => [one.name, one.rules]));
  return [
    ...to.sets.flatMap((one) => changedElements(one.name, before.get(one.name)?.elements, one.elements)),
    ...to.chains
      .filter((chain) => rules.get(chain.name)?.join("\n") !== chain.rules.join("\n"))
      .flatMap((chain) => [
        `flush chain ${TABLE} ${chain.name}\n`,
        ...chain.rules.map((rule) => `add rule ${TABLE} ${chain.name} ${rule}\n`),
      ]),
  ].join("");
}

function changedElements(name: string, before: Elements = new Map(), after: Elements): string[] {
  const gone = [...differing(before, after).keys()];
  const come = differing(after, before);
  return [
    gone.length === 0 ? [] : `delete element ${TABLE} ${name} { ${gone.join(", ")} }\n`,
    come.size === 0 ? [] : `add element ${TABLE} ${name} { ${listed(come)} }\n`,
  ].flat();
}

/** Those of the elements that the others have not, or with another value. */
function differing(elements: Elements, others: Elements): Map<string, string> {
  const found = new Map<string, string>();
  // With 10,000 of them this is most of what a change costs here.
  for (const [key, value] of elements) if (others.get(key) !== value) found.set(key, value);
  return found;
}

function listed(elements: Elements): string {
  return [...elements].map(([key, value]) => (value === "" ? key : `${key} : ${value}`)).join(", ");
}
