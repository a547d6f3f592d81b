import type { Maps } from "./maps.js";

/** Longer than a packet takes through the kernel, but for a CPU that stands still. */
const AGAIN_MS = 100;

/** The number that flow entries hold by: whoever bears another one is void, and its packets find their way anew. */
export class Epoch {
  #again: NodeJS.Timeout | undefined;

  constructor(private readonly control: Pick<Maps["control"], "get" | "set">) {}

  /** Voids every flow entry; returns the new number. */
  raise(): number {
    const control = this.control.get(0) ?? { epoch: 0, nextGeneration: 1, policy: 0 };
    const epoch = control.epoch >= 0xffffffff ? 1 : control.epoch + 1;
    this.control.set(0, { ...control, epoch });
    return epoch;
  }

  /**
   * Now and once more a little later: a packet that was judged before this, and is learned only after it, makes an entry of the new epoch by the
   * old judgement.
   */
  raiseTwice(): void {
    this.raise();
    clearTimeout(this.#again);
    this.#again = setTimeout(() => {
      this.#again = undefined;
      this.raise();
    }, AGAIN_MS);
  }

  /** Nothing is to come later: what was to be raised once more is raised now. */
  close(): void {
    if (this.#again === undefined) return;
    clearTimeout(this.#again);
    this.#again = undefined;
    this.raise();
  }
}
