import * as http from "node:http";
import * as https from "node:https";
import type { EngineAddress } from "./address.js";

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
  readonly #agent: http.Agent;

  constructor(
    private readonly address: EngineAddress,
    maxSockets: number,
  ) {
    const options = { keepAlive: true, maxSockets, maxFreeSockets: maxSockets, timeout: 60_000 };
    this.#agent = this.#tls() ? new https.Agent(options) : new http.Agent(options);
  }

  /**
   * The parsed answer and its headers.
   * @throws EngineHttpError, EngineTimeoutError, SyntaxError (no JSON), RangeError (too big), or the socket's error.
   */
  async json(
    path: string,
    options: RequestOptions,
  ): Promise<{ body: unknown; headers: http.IncomingHttpHeaders }> {
    const { body, headers } = await this.#collect(path, options);
    return { body: JSON.parse(body) as unknown, headers };
  }

  #collect(path: string, o: RequestOptions): Promise<{ body: string; headers: http.IncomingHttpHeaders }> {
    return new Promise((resolve, reject) => {
      const request = this.#request(path, this.#agent);
      const timer = setTimeout(() => request.destroy(new EngineTimeoutError(path, o.timeoutMs)), o.timeoutMs);
      const abort = () => request.destroy(new Error("aborted"));
      o.signal?.addEventListener("abort", abort, { once: true });
      const settle = () => {
        clearTimeout(timer);
        o.signal?.removeEventListener("abort", abort);
      };
      const fail = (error: Error) => {
        settle();
        reject(error);
      };
      request.on("error", fail);
      request.on("response", (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on("data", (chunk: Buffer) => {
          size += chunk.length;
          if (size > o.maxBytes) {
            request.destroy(new RangeError(`engine's answer to ${path} is larger than ${o.maxBytes} bytes`));
          } else {
            chunks.push(chunk);
          }
        });
        response.on("error", fail);
        response.on("end", () => {
          settle();
          const body = Buffer.concat(chunks).toString("utf8");
          const status = response.statusCode ?? 0;
          if (status >= 200 && status < 300) resolve({ body, headers: response.headers });
          else reject(new EngineHttpError(status, path, errorDetail(body)));
        });
      });
      if (o.signal?.aborted) abort();
      request.end();
    });
  }

  /**
   * Opens an endless answer on a connection of its own; resolves once its headers are there. The caller reads the
   * response, and destroys it to end it. `timeoutMs` is for the headers only.
   */
  stream(path: string, o: { timeoutMs: number; signal: AbortSignal }): Promise<http.IncomingMessage> {
    return new Promise((resolve, reject) => {
      const request = this.#request(path, undefined);
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

  close(): void {
    this.#agent.destroy();
  }

  #tls(): boolean {
    return this.address.kind === "tcp" && this.address.tls !== undefined;
  }

  #request(path: string, agent: http.Agent | undefined): http.ClientRequest {
    const a = this.address;
    const common = {
      method: "GET",
      path: `${a.basePath}${path}`,
      agent: agent ?? (false as const),
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
