import { request } from "node:http";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { UserError } from "../errors.js";

/**
 * The few calls that change something at an engine. Only the demo makes them, at its own engine; fairway itself only
 * ever reads.
 */
export class EngineApi {
  #prefix = "";

  constructor(readonly socket: string) {}

  /** Whether the engine answers. */
  async answers(): Promise<boolean> {
    try {
      await this.#call("GET", "/_ping");
      return true;
    } catch {
      return false;
    }
  }

  /** Agrees on the engine's own API version. @returns the engine's version */
  async connect(): Promise<string> {
    const { ApiVersion, Version } = (await this.#json("GET", "/version")) as {
      ApiVersion: string;
      Version: string;
    };
    this.#prefix = `/v${ApiVersion}`;
    return Version;
  }

  /** `docker import`. */
  async importImage(repository: string, tar: Readable): Promise<void> {
    const said = await this.#call("POST", `/images/create?fromSrc=-&repo=${repository}`, tar);
    // Errors come in the stream of progress, with status 200.
    const error = /"error":"((?:[^"\\]|\\.)*)"/.exec(said)?.[1];
    if (error !== undefined) throw new UserError(`the engine could not import the image: ${error}`);
  }

  /** Creates a bridge network. */
  async createNetwork(name: string): Promise<void> {
    await this.#json("POST", "/networks/create", { Name: name, Driver: "bridge" });
  }

  /** `docker run -d`. @returns the container's address on its network */
  async runContainer(name: string, network: string, config: Record<string, unknown>): Promise<string> {
    const { Id } = (await this.#json("POST", `/containers/create?name=${name}`, config)) as { Id: string };
    await this.#json("POST", `/containers/${Id}/start`);
    const inspected = (await this.#json("GET", `/containers/${Id}/json`)) as {
      NetworkSettings: { Networks: Record<string, { IPAddress: string } | undefined> };
    };
    return inspected.NetworkSettings.Networks[network]?.IPAddress ?? "";
  }

  /** Removes every container, running or not. */
  async removeContainers(): Promise<void> {
    const containers = (await this.#json("GET", "/containers/json?all=true")) as { Id: string }[];
    await Promise.all(
      containers.map(({ Id }) => this.#call("DELETE", `/containers/${Id}?force=true&v=true`)),
    );
  }

  async #json(method: string, path: string, body?: unknown): Promise<unknown> {
    const answer = await this.#call(method, path, body === undefined ? undefined : JSON.stringify(body));
    return answer === "" ? undefined : JSON.parse(answer);
  }

  async #call(method: string, path: string, body?: Readable | string): Promise<string> {
    return new Promise((resolve, reject) => {
      const type = typeof body === "string" ? "application/json" : "application/x-tar";
      const call = request(
        {
          socketPath: this.socket,
          method,
          path: this.#prefix + path,
          agent: false,
          headers: { host: "docker", ...(body === undefined ? {} : { "content-type": type }) },
        },
        (response) => {
          text(response).then((answer) => {
            const status = response.statusCode ?? 0;
            if (status < 400) return resolve(answer);
            reject(
              new UserError(`the engine refused ${method} ${path.split("?", 1)[0]}: ${messageOf(answer)}`),
            );
          }, reject);
        },
      );
      call.setTimeout(60_000, () => call.destroy(new Error("the engine does not answer")));
      call.on("error", reject);
      if (typeof body === "object") body.on("error", (error) => call.destroy(error)).pipe(call);
      else call.end(body);
    });
  }
}

function messageOf(answer: string): string {
  try {
    const { message } = JSON.parse(answer) as { message?: unknown };
    return typeof message === "string" ? message : answer;
  } catch {
    return answer;
  }
}
