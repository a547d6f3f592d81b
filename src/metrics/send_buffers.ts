/** Bytes that are sent in one go: a fraction of a millisecond's worth. */
const SIZE = 256 * 1024;
/** So many wait for the next scrape. Who reads slowly makes it take more, which are left to the garbage collector. */
const KEPT = 4;

const free: Buffer[] = [];

/** Gathers bytes and sends them in large pieces, from buffers that are used again once the kernel has what was in them. */
export class SendBuffers {
  #buffer: Buffer | undefined;
  #used = 0;

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

  /** Sends what has been gathered. */
  flush(): void {
    const buffer = this.#buffer;
    if (buffer === undefined) return;
    this.send(buffer.subarray(0, this.#used), () => {
      if (free.length < KEPT) free.push(buffer);
    });
    this.#buffer = undefined;
    this.#used = 0;
  }
}
