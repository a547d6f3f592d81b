import { chmodSync, mkdirSync, rmdirSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { errorCode, errorMessage, UserError } from "../errors.js";
import { somebodyListens } from "../unix_socket.js";

/**
 * The daemon's control socket, `<state-dir>/fairway.sock`: HTTP over a unix socket, readable by root alone. Who listens
 * there is the one instance of the state directory.
 */
export class StatusServer {
  readonly path: string;
  #server: Server | undefined;
  #madeDirectory = false;

  /** @param resources JSON by path: {"/status": () => status} */
  constructor(
    private readonly stateDir: string,
    private readonly resources: Readonly<Record<string, () => unknown>>,
  ) {
    this.path = join(stateDir, "fairway.sock");
  }

  /** @throws UserError when another daemon listens there, or the directory is not ours to write to */
  async open(): Promise<void> {
    if (await somebodyListens(this.path)) {
      throw new UserError(`fairway is already running (it listens at ${this.path})`, {
        remedy: "stop it first; there can be one fairway per network namespace",
      });
    }
    try {
      this.#madeDirectory = mkdirSync(this.stateDir, { recursive: true, mode: 0o755 }) !== undefined;
      // Left behind by a daemon that was killed.
      rmSync(this.path, { force: true });
      await this.#listen();
    } catch (error) {
      if (errorCode(error) === "EADDRINUSE") {
        throw new UserError(`fairway is already running (it listens at ${this.path})`, {
          remedy: "stop it first; there can be one fairway per network namespace",
        });
      }
      throw new UserError(`can't listen at ${this.path} (${errorMessage(error)})`, {
        remedy: "run as root, or name another directory with --state-dir",
        cause: error,
      });
    }
  }

  #listen(): Promise<void> {
    const server = createServer((request, response) => {
      const resource = this.resources[request.url ?? ""];
      if (request.method !== "GET" || resource === undefined) {
        response.writeHead(request.method === "GET" ? 404 : 405).end();
        return;
      }
      try {
        const body = JSON.stringify(resource(), (_key, value: unknown) =>
          typeof value === "bigint" ? Number(value) : value,
        );
        response.writeHead(200, { "content-type": "application/json" }).end(body);
      } catch (error) {
        response.writeHead(500, { "content-type": "text/plain" }).end(errorMessage(error));
      }
    });
    this.#server = server;
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      const mask = process.umask(0o077);
      server.listen(this.path, () => {
        chmodSync(this.path, 0o600);
        server.off("error", reject);
        resolve();
      });
      process.umask(mask);
    });
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
    rmSync(this.path, { force: true });
    if (this.#madeDirectory) removeIfEmpty(this.stateDir);
  }
}

/** A start that failed leaves nothing; after any other there is what cleanup has to put back. */
function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch (error) {
    if (errorCode(error) !== "ENOTEMPTY") throw error;
  }
}
