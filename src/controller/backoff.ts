/** Waiting times that double from one failure to the next, with jitter so that many daemons don't come at once. */
export class Backoff {
  #next: number;

  /** @param first @param most ms */
  constructor(
    private readonly first: number,
    private readonly most: number,
    private readonly random: () => number = Math.random,
  ) {
    this.#next = first;
  }

  /** ms to wait now: between half and the whole of what it is its turn. */
  next(): number {
    const whole = this.#next;
    this.#next = Math.min(this.most, whole * 2);
    return whole / 2 + (whole / 2) * this.random();
  }

  /** It worked: the next failure waits but shortly. */
  reset(): void {
    this.#next = this.first;
  }
}

/** Resolves after `ms`, or at once when the signal is aborted. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}
