/** What is waited for, and how it is told. */
interface Turn {
  readonly over: Promise<void>;
  readonly end: (error?: unknown) => void;
}

/**
 * Runs a work for keys: for each at most one at a time, and at most `limit` in all. A key that is asked for while its work runs gets
 * another run afterwards, since the one under way may not see what the asking was for.
 */
export class KeyedQueue {
  readonly #waiting = new Map<string, Turn>();
  readonly #running = new Set<string>();
  /** Asked for again while they run. */
  readonly #again = new Map<string, Turn>();

  constructor(
    private readonly work: (key: string) => Promise<void>,
    private readonly limit: number,
  ) {}

  /** Resolves when a run for the key that began after this call is over; rejects with what it threw. */
  ask(key: string): Promise<void> {
    const queue = this.#running.has(key) ? this.#again : this.#waiting;
    const asked = queue.get(key) ?? turn();
    queue.set(key, asked);
    this.#start();
    return asked.over;
  }

  #start(): void {
    for (const [key, own] of this.#waiting) {
      if (this.#running.size >= this.limit) return;
      this.#waiting.delete(key);
      this.#running.add(key);
      void this.#run(key, own);
    }
  }

  async #run(key: string, own: Turn): Promise<void> {
    try {
      await this.work(key);
      own.end();
    } catch (error) {
      own.end(error);
    }
    this.#running.delete(key);
    const again = this.#again.get(key);
    this.#again.delete(key);
    if (again !== undefined) this.#waiting.set(key, again);
    this.#start();
  }
}

function turn(): Turn {
  let end: Turn["end"] = () => undefined;
  const over = new Promise<void>((resolve, reject) => {
    end = (error) => (error === undefined ? resolve() : reject(error));
  });
  // Nobody has to wait for it.
  over.catch(() => undefined);
  return { over, end };
}
