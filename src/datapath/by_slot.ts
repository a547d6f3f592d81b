import type { PlacedEndpoint } from "./slots.js";

/** The endpoints of the last plan by their slots, for readers of maps: a list that is the same object until there is another plan. */
export class BySlot {
  #placed: readonly PlacedEndpoint[] = [];
  #list: readonly (PlacedEndpoint | undefined)[] = [];

  constructor(private readonly placed: () => readonly PlacedEndpoint[]) {}

  /**
   * To be asked for in each step of a reading: between two of them a slot may have been given to another endpoint.
   * @returns as long as the last slot in use wants it; slots are given from the lowest on
   */
  list(): readonly (PlacedEndpoint | undefined)[] {
    const placed = this.placed();
    if (this.#placed === placed) return this.#list;
    const list: (PlacedEndpoint | undefined)[] = [];
    for (const one of placed) list[one.slot] = one;
    this.#placed = placed;
    this.#list = list;
    return list;
  }
}
