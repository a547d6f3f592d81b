import { TextStore } from "./text_store.js";

/** Bytes that may be of no use before it is worth while to do something about it. */
const SPARE = 256 * 1024;

/** The texts of all metrics' series. Where most of what was stored is of series that are gone, another store is begun. */
export class SeriesTexts {
  #store = new TextStore();

  /** Where texts are to be from now on. Whoever has some elsewhere takes them over. */
  get store(): TextStore {
    return this.#store;
  }

  beginScrape(): void {
    this.#store.beginScrape();
  }

  /** Every series that there is was written since beginScrape(). */
  endScrape(): void {
    const { size, live } = this.#store;
    if (size > 2 * live + SPARE) this.#store = new TextStore();
  }
}
