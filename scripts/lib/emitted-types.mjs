// clang leaves out of BTF what no program and no map refers to: an enum whose constants alone are used, an event's
// struct. This source, made from the headers and linked with the others, refers to all of them.

import { readFileSync } from "node:fs";
import { basename } from "node:path";

/** The function that refers to them; never called, never loaded: libbpf skips subprograms that nobody calls. */
export const emitter = "fairway_types";

/** Integer macros are carried as an enum of this name. */
export const macroEnum = "fairway_macros";

/**
 * @param {string[]} headers types.h files
 * @returns {string} C
 */
export function emittingSource(headers) {
  const members = [];
  const macros = [];
  for (const header of headers) {
    const text = readFileSync(header, "utf8");
    for (const [, kind, name] of text.matchAll(/^(enum|struct|union) (\w+) \{/gm))
      members.push(`${kind} ${name} ${name};`);
    for (const [, name] of text.matchAll(/^#define (\w+) (?:0x[\da-fA-F]+|\d+)[uUlL]*\s*$/gm)) {
      macros.push(`MACRO_${name} = ${name},`);
    }
  }
  return [
    "/* Made by scripts/bpf.mjs: see scripts/lib/emitted-types.mjs. */",
    ...headers.map((header) => `#include "${basename(header)}"`),
    macros.length > 0 ? `enum ${macroEnum} { ${macros.join(" ")} };` : "",
    `struct ${emitter} { ${members.join(" ")} ${macros.length > 0 ? `enum ${macroEnum} macros;` : ""} };`,
    `void ${emitter}(struct ${emitter} *);`,
    `void ${emitter}(struct ${emitter} *types) { (void)types; }`,
    "",
  ].join("\n");
}
