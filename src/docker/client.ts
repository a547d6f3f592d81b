import { errorCode, errorMessage, UserError } from "../errors.js";
import type { EngineAddress } from "./address.js";
import { EngineHttp, type RequestOptions } from "./http.js";
import { LineSplitter } from "./lines.js";
import { eventSchema, issuesLine, versionSchema } from "./schema.js";
import { negotiate } from "./version.js";

/** What an event says has changed. */
export interface EngineEvent {
  /** "container", "network", "daemon" */
  type: string;
  /** "start", "connect", ...; without the detail that follows a colon. */
  action: string;
  /** The container that it is about, where it is about one. */
  containerId: string | undefined;
}

export interface EngineVersion {
  version: string;
  apiVersion: string;
}

const MIB = 1024 * 1024;
const LIST: RequestOptions = { timeoutMs: 20_000, maxBytes: 256 * MIB };
/** Short: an inspect during `network connect` waits for the container's lock, and the next pass asks again. */
const INSPECT: RequestOptions = { timeoutMs: 3_000, maxBytes: 16 * MIB };
const VERSION: RequestOptions = { timeoutMs: 5_000, maxBytes: MIB };
const EVENT_LINE_MAX = MIB;
/** The engine answers an inspection under the container's own lock, which a container that is being started holds. */
export const REQUESTS_AT_A_TIME = 16;

/** The engine's API, read-only: version, lists, inspect, events. Answers are handed on as they are, unvalidated. */
export class EngineClient {
  readonly #http: EngineHttp;
  #prefix = "";

  constructor(readonly address: EngineAddress) {
    this.#http = new EngineHttp(address, REQUESTS_AT_A_TIME + 2);
  }

  /**
   * Agrees on an API version; to be called before anything else, and again after a reconnect (the engine may be another).
   * @throws UserError where the engine is not there, not permitted, too old, or no engine at all.
   */
  async negotiate(signal?: AbortSignal): Promise<EngineVersion> {
    let body: unknown;
    try {
      body = await this.#http.json("/version", signal === undefined ? VERSION : { ...VERSION, signal });
    } catch (error) {
      throw connectError(error, this.address);
    }
    const parsed = versionSchema.safeParse(body);
    if (!parsed.success) {
      throw new UserError(
        `what listens at ${this.address.display} is no Docker engine (${issuesLine(parsed.error)})`,
        {
          remedy: "check --docker-host and DOCKER_HOST",
        },
      );
    }
    const apiVersion = negotiate(parsed.data.ApiVersion, parsed.data.MinAPIVersion);
    this.#prefix = `/v${apiVersion}`;
    return { version: parsed.data.Version ?? "unknown", apiVersion };
  }

  /** Every network, with its options and subnets. */
  async networks(signal: AbortSignal): Promise<unknown> {
    return this.#http.json(`${this.#prefix}/networks`, { ...LIST, signal });
  }

  /** One network with the containers that are on it. @throws EngineHttpError with status 404 where it is gone. */
  async network(id: string, signal: AbortSignal): Promise<unknown> {
    return this.#http.json(`${this.#prefix}/networks/${encodeURIComponent(id)}`, { ...LIST, signal });
  }

  /** One container's inspection. @throws EngineHttpError with status 404 where it is gone. */
  async container(id: string, signal: AbortSignal): Promise<unknown> {
    return this.#http.json(`${this.#prefix}/containers/${id}/json`, { ...INSPECT, signal });
  }

  /**
   * Subscribes to the engine's events and resolves when the engine has accepted that; `ended` resolves when the stream
   * is over (engine gone, or aborted), never rejects.
   * @param onEvent for each event that may change networks, containers or attachments; undefined: an event was lost
   *   (unreadable, too long), so anything may have changed.
   */
  async events(
    onEvent: (event: EngineEvent | undefined) => void,
    signal: AbortSignal,
  ): Promise<{ ended: Promise<string> }> {
    const filters = encodeURIComponent(JSON.stringify({ type: ["container", "network", "daemon"] }));
    // The engine sends the headers just before it subscribes; what happens between the two is had by asking for the
    // last moments' events as well. They only mark what to look at.
    const since = Math.floor(Date.now() / 1000) - 1;
    const response = await this.#http.stream(`${this.#prefix}/events?since=${since}&filters=${filters}`, {
      timeoutMs: 10_000,
      signal,
    });
    const splitter = new LineSplitter(
      EVENT_LINE_MAX,
      (line) => {
        const event = parseEvent(line);
        if (event === "unreadable") onEvent(undefined);
        else if (event !== "irrelevant") onEvent(event);
      },
      () => onEvent(undefined),
    );
    const ended = new Promise<string>((resolve) => {
      response.on("data", (chunk: Buffer) => splitter.push(chunk));
      response.on("end", () => resolve("the engine closed the event stream"));
      response.on("error", (error: Error) => resolve(errorMessage(error)));
      response.on("close", () => resolve("the event stream was closed"));
    });
    return { ended };
  }

  close(): void {
    this.#http.close();
  }
}

/** Actions that never change what the plan is made of; busy hosts have many of them. */
const IRRELEVANT =
  /^(exec_|health_status|top|attach|detach|archive-path|extract-to-dir|copy|export|commit|resize)/;

/** One line of the event stream. */
export function parseEvent(line: string): EngineEvent | "irrelevant" | "unreadable" {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return "unreadable";
  }
  const parsed = eventSchema.safeParse(json);
  if (!parsed.success) return "unreadable";
  const { Type: type, Action, Actor } = parsed.data;
  const action = Action.split(":")[0] ?? "";
  if (!["container", "network", "daemon"].includes(type) || IRRELEVANT.test(action)) return "irrelevant";
  const containerId = type === "container" ? Actor?.ID : Actor?.Attributes?.container;
  return { type, action, containerId: containerId === "" ? undefined : containerId };
}

/** Why the engine can't be talked to, as something that the user can act upon. */
function connectError(error: unknown, address: EngineAddress): unknown {
  const where = address.display;
  switch (errorCode(error)) {
    case "ENOENT":
    case "ENOTSOCK":
      return new UserError(`no Docker engine at ${where}`, {
        remedy: "start it (systemctl start docker) or name its socket with --docker-host",
        cause: error,
      });
    case "ECONNREFUSED":
      return new UserError(`no Docker engine answers at ${where}`, {
        remedy: "start it (systemctl start docker) or name its address with --docker-host",
        cause: error,
      });
    case "EACCES":
    case "EPERM":
      return new UserError(`no permission to use the Docker engine at ${where}`, {
        remedy: "run as root, or as a member of the socket's group (docker)",
        cause: error,
      });
    default:
      if (error instanceof UserError) return error;
      return new UserError(`the Docker engine at ${where} can't be used (${errorMessage(error)})`, {
        remedy: "check --docker-host, DOCKER_HOST and DOCKER_TLS_VERIFY",
        cause: error,
      });
  }
}
