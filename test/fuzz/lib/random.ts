// Random numbers that a seed determines.

/** A generator of random numbers: the same seeds give the same numbers. */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d = 1;

  constructor(...seeds: number[]) {
    const [a = 0, b = 0, c = 0] = seeds;
    this.#a = a | 0;
    this.#b = b | 0;
    this.#c = c | 0;
    for (let i = 0; i < 16; i++) this.u32();
  }

  /** 0 to 2^32 - 1 (Chris Doty-Humphrey's sfc32). */
  u32(): number {
    const t = (((this.#a + this.#b) | 0) + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11);
    this.#c = (this.#c + t) | 0;
    return t >>> 0;
  }

  /** 0 to below - 1. */
  below(below: number): number {
    return Math.floor((this.u32() / 2 ** 32) * below);
  }

  /** from to to, both included. */
  between(from: number, to: number): number {
    return from + this.below(to - from + 1);
  }

  /** True once in so many times. */
  chance(probability: number): boolean {
    return this.u32() / 2 ** 32 < probability;
  }

  pick<T>(from: readonly T[]): T {
    const one = from[this.below(from.length)];
    if (one === undefined) throw new Error("nothing to pick from");
    return one;
  }

  /** One of the values, each as often as its weight says. */
  weighted<T>(from: readonly (readonly [number, T])[]): T {
    let at = this.below(from.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, value] of from) {
      at -= weight;
      if (at < 0) return value;
    }
    throw new Error("no weights");
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i += 4) {
      const word = this.u32();
      bytes[i] = word;
      bytes[i + 1] = word >>> 8;
      bytes[i + 2] = word >>> 16;
      bytes[i + 3] = word >>> 24;
    }
    return bytes;
  }
}
