import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { errorCode } from "../errors.js";
import type { EngineAddress } from "./address.js";
import { type Answer, AnswerReader } from "./answer.js";

/** The engine hung up before it said anything: it may have closed a connection that nobody used for a while. */
export class HungUpError extends Error {
  override readonly name = "HungUpError";
}

interface Exchange {
  reader: AnswerReader;
  resolve: (answer: Answer) => void;
  reject: (error: Error) => void;
  heard: boolean;
}

/**
 * A connection to the engine that is asked one thing at a time. Node's own client takes 0.6 ms of processor time for each of the
 * first thousand requests of a process, which are those that a start waits for; this takes less than half of it with all that is
 * done about the answer.
 */
export class EngineConnection {
  readonly #socket: Socket;
  readonly #host: string;
  #exchange: Exchange | undefined;
  #failed: Error | undefined;

  /**
   * @param idleMs for how long it stays open while it is asked nothing
   * @param over called once, when it is of no more use
   */
  constructor(
    address: EngineAddress,
    idleMs: number,
    private readonly over: () => void,
  ) {
    this.#socket = open(address);
    this.#host = address.kind === "unix" ? "docker" : hostHeader(address);
    this.#socket.setNoDelay(true);
    // An exchange has limits of its own.
    this.#socket.setTimeout(idleMs, () => {
      if (this.#exchange === undefined) this.#end(new Error("it was idle"));
    });
    this.#socket.on("data", (data) => this.#read(data));
    this.#socket.on("error", (error) => this.#end(error));
    this.#socket.on("end", () => this.#finish());
    this.#socket.on("close", () => this.#finish());
  }

  /** Whether it can be asked (again). */
  get usable(): boolean {
    return this.#failed === undefined && this.#exchange === undefined;
  }

  /**
   * Asks for a path; not before the last answer has come.
   * @param maxBytes largest body taken
   * @throws HungUpError, RangeError (too large), or the socket's error
   */
  get(path: string, maxBytes: number): Promise<Answer> {
    if (!/^\/[\x21-\x7e]*$/.test(path)) return Promise.reject(new Error("no path of HTTP"));
    return new Promise((resolve, reject) => {
      if (this.#failed !== undefined) {
        reject(this.#failed);
        return;
      }
      this.#exchange = { reader: new AnswerReader(maxBytes), resolve, reject, heard: false };
      this.#socket.ref();
      this.#socket.write(
        `GET ${path} HTTP/1.1\r\nHost: ${this.#host}\r\nAccept: application/json\r\nUser-Agent: fairway\r\n\r\n`,
      );
    });
  }

  /** Ends it; whoever waits for an answer gets this error. */
  close(error = new Error("closed")): void {
    this.#end(error);
  }

  #read(data: Buffer): void {
    const exchange = this.#exchange;
    if (exchange === undefined) {
      this.#end(new Error("it spoke without being asked"));
      return;
    }
    exchange.heard = true;
    try {
      this.#settle(exchange.reader.push(data));
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #settle(answer: Answer | undefined): void {
    if (answer === undefined) return;
    const exchange = this.#exchange;
    this.#exchange = undefined;
    // Nobody waits: that it is open keeps no process alive.
    this.#socket.unref();
    if (!answer.keepAlive) this.#end(new Error("it was the last answer"));
    exchange?.resolve(answer);
  }

  /** The engine has said all that it will say. */
  #finish(): void {
    this.#settle(this.#exchange?.reader.end());
    this.#end(new Error("the engine hung up"), true);
  }

  #end(error: Error, hungUp = ["EPIPE", "ECONNRESET"].includes(errorCode(error) ?? "")): void {
    if (this.#failed !== undefined) return;
    this.#failed = error;
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#socket.destroy();
    this.over();
    exchange?.reject(hungUp && !exchange.heard ? new HungUpError(error.message, { cause: error }) : error);
  }
}

function open(address: EngineAddress): Socket {
  if (address.kind === "unix") return connect({ path: address.socketPath });
  const { host, port, tls } = address;
  if (tls === undefined) return connect({ host, port });
  return connectTls({
    host,
    port,
    servername: isIP(host) === 0 ? host : "",
    cert: tls.cert,
    key: tls.key,
    rejectUnauthorized: tls.verify,
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
  });
}

function hostHeader({ host, port }: { host: string; port: number }): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}
