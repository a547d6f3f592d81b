/**
 * What was made of a map's keys, kept from one reading of the map to the next. A hash table's entries come in the same order as long as
 * none is new or gone: a key is known by its place, and what else is in that place is made anew.
 */
export class KeptEntries<T> {
  #things: T[] = [];
  #keys = new Uint32Array(0);
  #place = 0;

  /** @param words u32 of a key */
  constructor(private readonly words: number) {}

  /** The map is read from its start again. */
  begin(): void {
    this.#place = 0;
  }

  /**
   * What was made of the next key; undefined: keep() is to be called with what is made of it now.
   * @param keys with the key as the `index`-th
   */
  next(keys: Uint32Array, index: number): T | undefined {
    const { words } = this;
    const place = this.#place++;
    const [from, to] = [index * words, place * words];
    if (place < this.#things.length && this.#same(keys, from, to)) return this.#things[place];
    if (to + words > this.#keys.length) {
      const longer = new Uint32Array(Math.max(64 * words, 2 * this.#keys.length));
      longer.set(this.#keys);
      this.#keys = longer;
    }
    for (let i = 0; i < words; i++) this.#keys[to + i] = keys[from + i] as number;
    return undefined;
  }

  /** Of the key that next() was asked for. */
  keep(thing: T): T {
    this.#things[this.#place - 1] = thing;
    return thing;
  }

  /** That was all: what lies behind it is forgotten. */
  end(): void {
    this.#things.length = this.#place;
  }

  #same(keys: Uint32Array, from: number, to: number): boolean {
    for (let i = 0; i < this.words; i++) if (this.#keys[to + i] !== keys[from + i]) return false;
    return true;
  }
}
