// From C's names to TypeScript's.

/** flow_key -> flowKey @param {string} name */
export const camel = (name) => name.replace(/^_+/, "").replace(/_+(.)/g, (_, letter) => letter.toUpperCase());

/** flow_key -> FlowKey @param {string} name */
export const pascal = (name) => camel(name).replace(/^./, (letter) => letter.toUpperCase());

/**
 * What all names of an enum begin with, up to an underscore: REASON_ of REASON_NONE, REASON_NOT_IP. For an enum
 * with a single name, its own name or the first words of it, where that fits: ENDPOINT_ of ENDPOINT_BRIDGING in endpoint_flags.
 * @param {string[]} names
 * @param {string} own the enum's name
 */
export function commonPrefix(names, own) {
  if (names.length === 1) {
    for (let words = own.toUpperCase().split("_"); words.length > 0; words = words.slice(0, -1)) {
      const prefix = `${words.join("_")}_`;
      if (names[0].startsWith(prefix)) return prefix;
    }
    return "";
  }
  let prefix = names[0];
  for (const name of names) while (!name.startsWith(prefix)) prefix = prefix.slice(0, -1);
  return prefix.slice(0, prefix.lastIndexOf("_") + 1);
}
