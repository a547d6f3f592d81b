/**
 * Cuts a byte stream into lines. A line longer than the limit is dropped up to its end and reported as `oversized`, so that
 * a hostile or broken stream costs no more memory than one line.
 */
export class LineSplitter {
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #skipping = false;

  /** @param limit longest line in bytes, without its newline */
  constructor(
    private readonly limit: number,
    private readonly onLine: (line: string) => void,
    private readonly onOversized: () => void,
  ) {}

  /** Takes the next bytes; calls back for every line that they end. Empty lines are left out. */
  push(chunk: Buffer): void {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(0x0a, start);
      if (end < 0) break;
      this.#take(chunk.subarray(start, end));
      this.#finish();
      start = end + 1;
    }
    if (start < chunk.length) this.#take(chunk.subarray(start));
  }

  #take(bytes: Buffer): void {
    if (this.#skipping) return;
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes > this.limit) {
      this.#skipping = true;
      this.#pending = [];
    } else if (bytes.length > 0) {
      this.#pending.push(bytes);
    }
  }

  #finish(): void {
    const skipped = this.#skipping;
    // Joined before decoding: a chunk may end inside a character.
    const line = skipped ? "" : Buffer.concat(this.#pending).toString("utf8").trim();
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#skipping = false;
    if (skipped) this.onOversized();
    else if (line !== "") this.onLine(line);
  }
}
