import { type Labels, LineOrder, sameLabels, WrittenLines } from "./line_order.js";
import type { SeriesTexts } from "./series_texts.js";
import type { TextStore } from "./text_store.js";

/** Texts that are taken over from one store to another in one go: a millisecond's worth. */
const MOVED_AT_ONCE = 2048;
const NEWLINE = 10;

/**
 * The lines of one metric, remembered from scrape to scrape. Collectors add them in the same order each time, or nearly: a line is known
 * by the one before it, and looked up only where that fails. What a line says but for its figure is made once.
 */
export class Lines {
  #written = new WrittenLines([]);
  /** The figures of this scrape; longer than they are many. */
  #values = new Float64Array(0);
  #count = 0;
  #order: LineOrder | undefined;
  /** Places of the texts of lines that are new. */
  #fresh: number[] = [];
  /** That has the texts. */
  #store: TextStore;

  /**
   * @param name of the metric, with which each of its lines begins
   * @param stride labels of a line, by which it is told from the others
   */
  constructor(
    private readonly name: Buffer,
    private readonly stride: number,
    private readonly texts: SeriesTexts,
  ) {
    this.#store = texts.store;
  }

  /** Lines of this scrape. */
  get count(): number {
    return this.#count;
  }

  /** Another scrape begins. What was added and not written is forgotten. */
  begin(): void {
    this.#count = 0;
    this.#order = undefined;
    this.#fresh = [];
    if (this.#values.length < this.#written.count) this.#values = new Float64Array(this.#written.count);
  }

  /**
   * Adds a line, or `value` to the line that has the same labels.
   * @param labels kept: they must not change any more
   * @throws Error for another number of labels than the others have
   */
  add(labels: Labels, value: number): void {
    if (labels.length !== this.stride) throw new Error(`${this.stride} labels wanted, not ${labels.length}`);
    const at = this.#count;
    const { count, labels: before } = this.#written;
    if (this.#order === undefined && at < count && sameLabels(before[at], labels)) {
      // The same object the next time, perhaps.
      before[at] = labels;
      this.#values[at] = value;
      this.#count = at + 1;
      return;
    }
    this.#order ??= new LineOrder(this.#written, at);
    const place = this.#order.place(labels);
    if (place < at) this.#values[place] = (this.#values[place] as number) + value;
    else this.#append(value);
  }

  #append(value: number): void {
    if (this.#count === this.#values.length) {
      const longer = new Float64Array(Math.max(8, Math.ceil(1.5 * this.#count)));
      longer.set(this.#values);
      this.#values = longer;
    }
    this.#values[this.#count++] = value;
  }

  /** The labels of the lines that were never written, in their order. */
  fresh(): Labels[] {
    const { fresh = [], labels = [] } = this.#order ?? {};
    return fresh.map((at) => labels[at] as Labels);
  }

  /**
   * Takes the text of those that fresh() has, in their order, perhaps in several calls.
   * @param text whole lines, each with the figure 0
   * @throws Error where these are another metric's
   */
  addFresh(text: Buffer): void {
    const { name } = this;
    for (let start = 0; start < text.length; ) {
      const end = text.indexOf(NEWLINE, start);
      if (name.compare(text, start, start + name.length) !== 0)
        throw new Error(`no line of ${name}: ${text.toString("utf8", start, end)}`);
      this.#fresh.push(this.#store.add(text, start + name.length, end - 1));
      start = end + 1;
    }
  }

  /** The text of this scrape, piece by piece, each good until the next one; undefined: a step on the way to that. */
  *write(): Generator<Buffer | undefined> {
    const before = this.#written;
    if (this.#count < before.count) this.#order ??= new LineOrder(before, this.#count);
    if (this.#order !== undefined) this.#written = this.#order.written(this.#fresh);
    this.#order = undefined;
    const { count, places } = this.#written;
    yield* this.#takeOver(places);
    const name = this.#store.add(this.name);
    yield* this.#store.write({ name, count, places, values: this.#values });
    this.begin();
  }

  *#takeOver(places: Int32Array): Generator<undefined> {
    const { store } = this.texts;
    if (this.#store === store) return;
    for (const [at, place] of places.entries()) {
      places[at] = store.addFrom(this.#store, place);
      if (at % MOVED_AT_ONCE === MOVED_AT_ONCE - 1) yield;
    }
    this.#store = store;
  }
}
