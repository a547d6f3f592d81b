/** Labels of a series by their names. */
export type LabelSet = Readonly<Record<string, string>>;

/** Nothing that people call a container is longer; what is longer is not meant to be read. */
const LONGEST_VALUE = 200;

/**
 * One object for each set of labels, the same from scrape to scrape: who writes a set's text has to do it once. What a scrape has not
 * asked for is forgotten at the next one but one.
 */
export class LabelSets {
  #before = new Map<readonly string[], Map<string, LabelSet>>();
  #now = new Map<readonly string[], Map<string, LabelSet>>();

  /** Another scrape begins. */
  turn(): void {
    this.#before = this.#now;
    this.#now = new Map();
  }

  /**
   * @param names the same array each time
   * @param values in the order of the names; what is longer than 200 characters is cut
   * @param more labels with other names
   */
  of(
    names: readonly string[],
    values: readonly string[],
    more: readonly (readonly [string, string])[] = [],
  ): LabelSet {
    let key = values.length === 0 ? "" : (values[0] ?? "");
    for (let i = 1; i < values.length; i++) key += `\0${values[i]}`;
    for (const [name, value] of more) key += `\0${name}\0${value}`;
    let sets = this.#now.get(names);
    if (sets === undefined) {
      sets = new Map();
      this.#now.set(names, sets);
    }
    let set = sets.get(key);
    if (set === undefined) {
      set = this.#before.get(names)?.get(key) ?? labelled(names, values, more);
      sets.set(key, set);
    }
    return set;
  }
}

function labelled(
  names: readonly string[],
  values: readonly string[],
  more: readonly (readonly [string, string])[],
): LabelSet {
  const labels: Record<string, string> = {};
  for (let i = 0; i < names.length; i++) labels[names[i] ?? ""] = (values[i] ?? "").slice(0, LONGEST_VALUE);
  for (const [name, value] of more) labels[name] = value.slice(0, LONGEST_VALUE);
  return labels;
}
