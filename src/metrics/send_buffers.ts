/** Bytes that are sent in one go: a fraction of a millisecond's worth. */
const SIZE = 256 * 1024;
/** So many wait for the next scrape, and may be on their way before more is written. */
const KEPT = 4;
/** Who has not read one buffer in that time is not waited for any more: other scrapes wait for this one. */
const PATIENCE_MS = 50;

const free: Buffer[] = [];

/** Gathers bytes and sends them in large pieces, from buffers that are used again once the kernel has what was in them. */
export class SendBuffers {
  #buffer: Buffer | undefined;
  #used = 0;
  #onTheWay = 0;
  #goOn: (() => void) | undefined;
  #patient = true;

  /** @param send calls `sent` when the bytes are not needed any more */
  constructor(private readonly send: (bytes: Buffer, sent: () => void) => void) {}

  /** @param bytes copied */
  add(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      this.#buffer ??= free.pop() ?? Buffer.allocUnsafeSlow(SIZE);
      const copied = bytes.copy(this.#buffer, this.#used, at);
      at += copied;
      this.#used += copied;
      if (this.#used === SIZE) this.flush();
    }
  }

  /**
   * To be waited for before more is added, so that what is written is not much ahead of what is read; who reads slowly makes it take
   * more buffers, which are left to the garbage collector.
   * @returns undefined: nothing to wait for
   */
  room(): Promise<void> | undefined {
    if (this.#onTheWay < KEPT || !this.#patient) return undefined;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#patient = false;
        resolve();
      }, PATIENCE_MS);
      this.#goOn = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Sends what has been gathered. */
  flush(): void {
    const buffer = this.#buffer;
    if (buffer === undefined) return;
    this.#onTheWay++;
    this.send(buffer.subarray(0, this.#used), () => {
      this.#onTheWay--;
      if (free.length < KEPT) free.push(buffer);
      this.#goOn?.();
    });
    this.#buffer = undefined;
    this.#used = 0;
  }
}
