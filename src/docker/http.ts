import * as http from "node:http";
import * as https from "node:https";
import { errorMessage } from "../errors.js";
import type { EngineAddress } from "./address.js";
import type { Answer } from "./answer.js";
import { EngineConnection, HungUpError } from "./connection.js";

/** The engine answered, but not with 2xx. */
export class EngineHttpError extends Error {
  override readonly name = "EngineHttpError";
  constructor(
    readonly status: number,
    readonly path: string,
    detail: string,
  ) {
    super(`engine answered ${status} to ${path}${detail === "" ? "" : `: ${detail}`}`);
  }
}

/** The engine did not answer in time. */
export class EngineTimeoutError extends Error {
  override readonly name = "EngineTimeoutError";
  constructor(path: string, ms: number) {
    super(`engine did not answer ${path} within ${ms} ms`);
  }
}

export interface RequestOptions {
  /** ms for the whole answer */
  timeoutMs: number;
  /** Largest answer taken, in bytes. */
  maxBytes: number;
  signal?: AbortSignal;
}

/** GET over the engine's socket: JSON answers with limits of time and size, and endless streams. Never anything but GET. */
export class EngineHttp {
  /** Open connections; those that are asked nothing wait in #idle, the one used last at its end. */
  readonly #connections = new Set<EngineConnection>();
  readonly #idle: EngineConnection[] = [];
  readonly #waiting: (() => void)[] = [];
  #closed = false;

  /**
   * @param maxConnections open at a time; who asks for more waits
   * @param idleMs for how long one that is asked nothing stays open
   */
  constructor(
    private readonly address: EngineAddress,
    private readonly maxConnections: number,
    private readonly idleMs = 60_000,
  ) {}

  /**
   * The parsed answer.
   * @throws EngineHttpError, EngineTimeoutError, SyntaxError (no JSON), RangeError (too big), or the socket's error.
   */
  async json(path: string, options: RequestOptions): Promise<unknown> {
    const { status, body } = await this.#ask(path, options);
    const text = body.toString("utf8");
    if (status < 200 || status > 299) throw new EngineHttpError(status, path, errorDetail(text));
    return JSON.parse(text) as unknown;
  }

  /** Asks within the limits of `options`. */
  #ask(path: string, { timeoutMs, maxBytes, signal }: RequestOptions): Promise<Answer> {
    return new Promise((resolve, reject) => {
      let connection: EngineConnection | undefined;
      let over = false;
      const settle = () => {
        over = true;
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
      };
      const giveUp = (error: Error) => {
        settle();
        connection?.close(error);
        reject(error);
      };
      const abort = () => giveUp(new Error("aborted"));
      const timer = setTimeout(() => giveUp(new EngineTimeoutError(path, timeoutMs)), timeoutMs);
      const fail = (error: unknown) => {
        if (over) return;
        settle();
        const tooLarge = error instanceof RangeError;
        reject(tooLarge ? new RangeError(`engine's answer to ${path}: ${errorMessage(error)}`) : error);
      };
      const attempt = () => {
        if (this.#closed && !over) abort();
        if (over) {
          this.#next();
          return;
        }
        const used = this.#idle.pop();
        connection = used ?? this.#open();
        const asked = connection;
        asked.get(`${this.address.basePath}${path}`, maxBytes).then(
          (answer) => {
            this.#release(asked);
            if (over) return;
            settle();
            resolve(answer);
          },
          (error: unknown) => {
            // One that was idle may have been closed by the engine meanwhile; a GET may be asked again.
            if (used !== undefined && error instanceof HungUpError && !over) this.#whenFree(attempt);
            else fail(error);
          },
        );
      };
      if (signal?.aborted || this.#closed) {
        abort();
        return;
      }
      signal?.addEventListener("abort", abort, { once: true });
      this.#whenFree(attempt);
    });
  }

  #whenFree(attempt: () => void): void {
    if (this.#idle.length > 0 || this.#connections.size < this.maxConnections) attempt();
    else this.#waiting.push(attempt);
  }

  #open(): EngineConnection {
    const connection = new EngineConnection(this.address, this.idleMs, () => {
      this.#connections.delete(connection);
      const at = this.#idle.indexOf(connection);
      if (at !== -1) this.#idle.splice(at, 1);
      this.#next();
    });
    this.#connections.add(connection);
    return connection;
  }

  #release(connection: EngineConnection): void {
    if (!connection.usable) return;
    this.#idle.push(connection);
    this.#next();
  }

  /** There is a place for who waits longest. */
  #next(): void {
    const free = this.#idle.length > 0 || this.#connections.size < this.maxConnections;
    if (free && !this.#closed) this.#waiting.shift()?.();
  }

  /**
   * Opens an endless answer on a connection of its own; resolves once its headers are there. The caller reads the
   * response, and destroys it to end it. `timeoutMs` is for the headers only.
   */
  stream(path: string, o: { timeoutMs: number; signal: AbortSignal }): Promise<http.IncomingMessage> {
    return new Promise((resolve, reject) => {
      const request = this.#request(path);
      const timer = setTimeout(() => request.destroy(new EngineTimeoutError(path, o.timeoutMs)), o.timeoutMs);
      const abort = () => request.destroy(new Error("aborted"));
      o.signal.addEventListener("abort", abort, { once: true });
      request.on("socket", (socket) => socket.setKeepAlive(true, 15_000));
      request.on("close", () => o.signal.removeEventListener("abort", abort));
      request.on("error", (error) => {
        clearTimeout(timer);
        reject(error);
      });
      request.on("response", (response) => {
        clearTimeout(timer);
        const status = response.statusCode ?? 0;
        if (status >= 200 && status < 300) {
          resolve(response);
        } else {
          request.destroy();
          reject(new EngineHttpError(status, path, ""));
        }
      });
      if (o.signal.aborted) abort();
      request.end();
    });
  }

  /** Ends what is being asked; streams are ended by their signals. */
  close(): void {
    this.#closed = true;
    for (const connection of [...this.#connections]) connection.close();
    for (const attempt of this.#waiting.splice(0)) attempt();
  }

  #request(path: string): http.ClientRequest {
    const a = this.address;
    const common = {
      method: "GET",
      path: `${a.basePath}${path}`,
      agent: false as const,
      headers: { accept: "application/json", "user-agent": "fairway" },
    };
    if (a.kind === "unix") return http.request({ ...common, host: "docker", socketPath: a.socketPath });
    if (a.tls === undefined) return http.request({ ...common, host: a.host, port: a.port });
    return https.request({
      ...common,
      host: a.host,
      port: a.port,
      cert: a.tls.cert,
      key: a.tls.key,
      rejectUnauthorized: a.tls.verify,
      ...(a.tls.ca === undefined ? {} : { ca: a.tls.ca }),
    });
  }
}

/** The engine's errors are {"message": "..."}. */
function errorDetail(body: string): string {
  try {
    const parsed = JSON.parse(body) as { message?: unknown };
    return typeof parsed.message === "string" ? parsed.message.slice(0, 300) : "";
  } catch {
    return "";
  }
}
