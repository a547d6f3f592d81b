// Which symbols of a compiled source must survive linking: bpf-linker drops and inlines all that is not exported.
// Read from LLVM's textual form, https://llvm.org/docs/LangRef.html#global-variables and #functions.

const local = /\b(private|internal|external|extern_weak|available_externally|appending)\b/;

/**
 * Programs (functions in a section; a global function without one is a helper that may be inlined), and every global
 * variable: maps, constants and the licence.
 * @param {string} ir one module, as llvm-dis prints it
 * @returns {string[]}
 */
export function exportedSymbols(ir) {
  /** @type {string[]} */
  const names = [];
  for (const line of ir.split("\n")) {
    const variable = line.match(/^@([\w.$]+) = (.*)$/);
    if (variable && !variable[1].startsWith("llvm.")) {
      // The words before "global" or "constant" are the linkage and visibility.
      const linkage = variable[2].split(/\b(?:global|constant)\b/)[0];
      if (!local.test(linkage)) names.push(variable[1]);
      continue;
    }
    const definition = line.match(/^define (.*?)@([\w.$]+)\(.* section "/);
    if (definition && !local.test(definition[1])) names.push(definition[2]);
  }
  return names;
}
