/**
 * Collects reasons to reconcile. Bursts become one run: it starts when nothing has come for `quietMs`, but no later than
 * `mostMs` after the first; while one runs the reasons gather for the next. There is never more than one at a time.
 */
export class Trigger {
  #reasons = new Set<string>();
  /** When the next run may begin if it is to leave other things as much time as the last one took. */
  #notBefore = Number.NEGATIVE_INFINITY;
  #prompt = false;
  #firstAt = 0;
  #urgent = false;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  /** @param run must not reject; is given the reasons in the order in which they came */
  constructor(
    private readonly run: (reasons: string[]) => Promise<void>,
    private readonly quietMs = 50,
    private readonly mostMs = 500,
  ) {}

  /** There is something to do. `urgent`: without waiting for quiet. */
  fire(reason: string, urgent = false): void {
    if (this.#closed) return;
    if (this.#reasons.size === 0) this.#firstAt = performance.now();
    this.#reasons.add(reason);
    this.#urgent ||= urgent;
    if (this.#running === undefined) this.#arm();
  }

  /** There is something to do without waiting for quiet; but while it goes on so, runs take half of the time. */
  prompt(reason: string): void {
    this.#prompt ||= !this.#closed;
    this.fire(reason);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#start(), Math.max(0, this.#wait()));
  }

  /** ms */
  #wait(): number {
    if (this.#urgent) return 0;
    const now = performance.now();
    if (this.#prompt) return this.#notBefore - now;
    return Math.min(this.quietMs, this.#firstAt + this.mostMs - now);
  }

  #start(): void {
    const reasons = [...this.#reasons];
    this.#reasons = new Set();
    this.#urgent = false;
    this.#prompt = false;
    const began = performance.now();
    this.#running = this.run(reasons).finally(() => {
      const ended = performance.now();
      this.#notBefore = ended + Math.min(ended - began, this.quietMs);
      this.#running = undefined;
      if (this.#reasons.size > 0 && !this.#closed) this.#arm();
    });
  }

  /** No run begins after this; resolves when the one that is under way has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
  }
}
