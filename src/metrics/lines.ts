import { LineOrder, sameLabels } from "./line_order.js";
import { FreshLines, PIECE, WrittenLines, writePiece } from "./line_text.js";

const NONE = new FreshLines(0, []);

/**
 * The lines of one metric, remembered from scrape to scrape. Collectors add them in the same order each time, or nearly: a line is known
 * by the one before it, and looked up only where that fails. What a line says but for its figure is written once.
 */
export class Lines {
  #written = new WrittenLines(0, []);
  /** The figures of this scrape; longer than they are many. */
  #values = new Float64Array(0);
  #count = 0;
  #order: LineOrder | undefined;
  #fresh = NONE;

  /** @param stride labels of a line, by which it is told from the others */
  constructor(private readonly stride: number) {}

  /** Lines of this scrape. */
  get count(): number {
    return this.#count;
  }

  /** Another scrape begins. What was added and not written is forgotten. */
  begin(): void {
    this.#count = 0;
    this.#order = undefined;
    this.#fresh = NONE;
    if (this.#values.length < this.#written.count) this.#values = new Float64Array(this.#written.count);
  }

  /**
   * Adds a line, or `value` to the line that has the same labels.
   * @throws Error for another number of labels than the others have
   */
  add(labels: readonly string[], value: number): void {
    if (labels.length !== this.stride) throw new Error(`${this.stride} labels wanted, not ${labels.length}`);
    const at = this.#count;
    const { count, labels: before } = this.#written;
    if (this.#order === undefined && at < count && sameLabels(before, at * this.stride, labels)) {
      this.#values[at] = value;
      this.#count = at + 1;
      return;
    }
    this.#order ??= new LineOrder(this.#written, at, this.stride);
    const place = this.#order.place(labels);
    if (place < at) this.#values[place] = (this.#values[place] as number) + value;
    else this.#append(value);
  }

  #append(value: number): void {
    if (this.#count === this.#values.length) {
      const longer = new Float64Array(Math.max(8, 2 * this.#count));
      longer.set(this.#values);
      this.#values = longer;
    }
    this.#values[this.#count++] = value;
  }

  /** The labels of the lines that were never written, in their order. */
  fresh(): (readonly string[])[] {
    const { stride } = this;
    const { fresh = [], labels = [] } = this.#order ?? {};
    return fresh.map((at) => labels.slice(at * stride, (at + 1) * stride));
  }

  /** @param texts the lines that fresh() has, each with the figure 0 */
  setFresh(texts: Iterable<Buffer>): void {
    this.#fresh = new FreshLines(this.#order?.fresh.length ?? 0, texts);
  }

  /**
   * The text of this scrape, piece by piece.
   * @param ours nobody else has the pieces of the last scrape any more: they may be written over
   */
  *write(ours: boolean): Generator<Buffer> {
    const before = this.#written;
    if (this.#count < before.count) this.#order ??= new LineOrder(before, this.#count, this.stride);
    const order = this.#order;
    const now = order === undefined ? before : new WrittenLines(order.count, order.labels);
    if (order !== undefined) now.hashes.set(order.hashes.subarray(0, order.count));
    const sources = { before, now, values: this.#values, from: order?.from, fresh: this.#fresh, ours };
    for (let begin = 0; begin < now.count; begin += PIECE) yield writePiece(sources, begin);
    this.#written = now;
    this.begin();
  }
}
