/** One HTTP/1.1 answer, read as it comes (RFC 9112). Pure. */

/** An answer that has come to its end. */
export interface Answer {
  status: number;
  body: Buffer;
  /** Whether the connection may be asked again. */
  keepAlive: boolean;
}

const HEAD_MAX = 64 * 1024;
const CHUNK_LINE_MAX = 1024;
const EMPTY = Buffer.alloc(0);

/**
 * What is next: the head; a body of known length; a chunk's line, its bytes, the line break after these; what follows the last chunk;
 * or a body that ends with the connection.
 */
type State = "head" | "body" | "chunk" | "chunk bytes" | "chunk end" | "trailer" | "to the end";

/** Reads one answer to a GET. */
export class AnswerReader {
  #state: State = "head";
  #unread: Buffer = EMPTY;
  #status = 0;
  #keepAlive = false;
  /** Of the body or the chunk: bytes that are still to come. */
  #left = 0;
  readonly #parts: Buffer[] = [];
  #size = 0;
  #answer: Answer | undefined;

  /** @param maxBytes of the body */
  constructor(private readonly maxBytes: number) {}

  /**
   * The next bytes; returns the answer when they end it.
   * @throws Error for what is no HTTP, RangeError for a body that is too large: then the connection is of no more use
   */
  push(data: Buffer): Answer | undefined {
    this.#unread = this.#unread.length === 0 ? data : Buffer.concat([this.#unread, data]);
    while (this.#answer === undefined && this.#step());
    // Nothing else was asked for.
    if (this.#answer !== undefined && this.#unread.length > 0) this.#answer.keepAlive = false;
    return this.#answer;
  }

  /** The connection has ended: the answer, where that is how its end is told. */
  end(): Answer | undefined {
    if (this.#state === "to the end") this.#finish();
    return this.#answer;
  }

  /** Whether there was enough to go on with. */
  #step(): boolean {
    switch (this.#state) {
      case "head":
        return this.#head();
      case "body":
        return this.#bytes(() => this.#finish());
      case "chunk bytes":
        return this.#bytes(() => {
          this.#state = "chunk end";
        });
      case "to the end":
        this.#left = this.#unread.length;
        return this.#bytes(() => undefined) && false;
      case "chunk":
        return this.#line((line) => this.#chunk(line));
      case "chunk end":
        return this.#line((line) => {
          if (line !== "") throw new Error("a chunk does not end where it says");
          this.#state = "chunk";
        });
      case "trailer":
        return this.#line((line) => {
          if (line === "") this.#finish();
        });
    }
  }

  #head(): boolean {
    const end = this.#unread.indexOf("\r\n\r\n");
    if (end === -1) {
      if (this.#unread.length > HEAD_MAX) throw new Error("its head has no end");
      return false;
    }
    const head = this.#unread.toString("latin1", 0, end);
    this.#unread = this.#unread.subarray(end + 4);
    const [, minor, status] = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: |\r|$)/.exec(head) ?? [];
    if (status === undefined) throw new Error("it speaks no HTTP");
    this.#status = Number(status);
    // What precedes the answer proper.
    if (this.#status < 200) return true;
    this.#keepAlive = minor === "1" && !/\r\nconnection:[^\r]*\bclose\b/i.test(head);
    const [, coding] = /\r\ntransfer-encoding:[ \t]*([^\r]*?)[ \t]*(?:\r|$)/i.exec(head) ?? [];
    const [, length] = /\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*(?:\r|$)/i.exec(head) ?? [];
    if (this.#status === 204 || this.#status === 304) this.#finish();
    else if (coding?.toLowerCase() === "chunked") this.#state = "chunk";
    else if (coding !== undefined) throw new Error("a transfer coding that was not asked for");
    else if (length !== undefined) this.#expect("body", Number(length));
    else {
      this.#keepAlive = false;
      this.#state = "to the end";
    }
    return true;
  }

  #chunk(line: string): void {
    // Extensions follow a semicolon; nobody is known to send any.
    const [, digits] = /^([0-9a-f]{1,8})[ \t]*(?:;|$)/i.exec(line) ?? [];
    if (digits === undefined) throw new Error("a chunk without a length");
    const length = Number.parseInt(digits, 16);
    if (length === 0) this.#state = "trailer";
    else this.#expect("chunk bytes", length);
  }

  #expect(state: "body" | "chunk bytes", bytes: number): void {
    if (this.#size + bytes > this.maxBytes) this.#tooLarge();
    this.#state = state;
    this.#left = bytes;
  }

  #tooLarge(): never {
    throw new RangeError(`it is larger than ${this.maxBytes} bytes`);
  }

  /** Takes what there is of the bytes that are left, then calls `complete`. */
  #bytes(complete: () => void): boolean {
    const taken = Math.min(this.#left, this.#unread.length);
    if (taken > 0) {
      this.#size += taken;
      if (this.#size > this.maxBytes) this.#tooLarge();
      this.#parts.push(this.#unread.subarray(0, taken));
      this.#unread = this.#unread.subarray(taken);
      this.#left -= taken;
    }
    if (this.#left > 0) return false;
    complete();
    return true;
  }

  #line(take: (line: string) => void): boolean {
    const end = this.#unread.indexOf("\r\n");
    if (end > CHUNK_LINE_MAX || (end === -1 && this.#unread.length > CHUNK_LINE_MAX))
      throw new Error("a line has no end");
    if (end === -1) return false;
    const line = this.#unread.toString("latin1", 0, end);
    this.#unread = this.#unread.subarray(end + 2);
    take(line);
    return true;
  }

  #finish(): void {
    const [first = EMPTY] = this.#parts;
    const body = this.#parts.length <= 1 ? first : Buffer.concat(this.#parts, this.#size);
    this.#answer = { status: this.#status, body, keepAlive: this.#keepAlive };
  }
}
