// Many containers of one engine, made by its API: a process for each `docker` command would be most of the work.

import { request } from "node:http";
import type { Engine } from "../test/lab/lib/index.js";

/** A Linux bridge has 1,024 ports at most, and the default address pools thousands of networks. */
const PER_NETWORK = 250;
/** How many are made at a time: the engine does most of it one by one. */
const AT_A_TIME = 4;

/** One container of the crowd. */
export interface Member {
  readonly id: string;
  readonly name: string;
  /** Of the host; it leads to port 80. The others, where there are several, follow it. */
  readonly port: number;
}

/** What the crowd is made of. */
export interface CrowdOptions {
  readonly prefix: string;
  readonly count: number;
  readonly firstPort: number;
  /** Published ports of each; undefined: 1. */
  readonly ports?: number;
  /** undefined: tcp. */
  readonly proto?: "tcp" | "udp";
  /** False: only created. */
  readonly start: boolean;
  readonly progress: (made: number) => void;
}

/** Makes networks and containers of the image `fwl/busybox`, each with published ports and a process that sleeps. */
export async function makeCrowd(engine: Engine, options: CrowdOptions): Promise<Member[]> {
  const { prefix, count, firstPort, ports = 1, proto = "tcp", start, progress } = options;
  await engine.images("busybox");
  const networks = Array.from({ length: Math.ceil(count / PER_NETWORK) }, (_, at) => `${prefix}-${at}`);
  for (const network of networks) await engine.createNetwork(network);
  const members: Member[] = [];
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const at = next++;
      const [name, port] = [`${prefix}-${at}`, firstPort + at * ports];
      const published = Array.from(
        { length: ports },
        (_, n) => [`${80 + n}/${proto}`, `${port + n}`] as const,
      );
      const { Id: id } = (await call(engine, "POST", `/containers/create?name=${name}`, {
        Image: "fwl/busybox",
        Cmd: ["sleep", "1000000"],
        StopTimeout: 1,
        ExposedPorts: Object.fromEntries(published.map(([inside]) => [inside, {}])),
        HostConfig: {
          NetworkMode: networks[Math.floor(at / PER_NETWORK)],
          PortBindings: Object.fromEntries(published.map(([inside, HostPort]) => [inside, [{ HostPort }]])),
        },
      })) as { Id: string };
      members.push({ id, name, port });
      if (start) await startMember(engine, id);
      if (members.length % 50 === 0) progress(members.length);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  return members.sort((a, b) => a.port - b.port);
}

/** Starts a container; resolves when the engine has answered. */
export async function startMember(engine: Engine, id: string): Promise<void> {
  await call(engine, "POST", `/containers/${id}/start`);
}

/** Removes containers, which for a thousand of them takes longer than a lab waits for `docker rm`. */
export async function removeCrowd(engine: Engine): Promise<void> {
  const all = (await call(engine, "GET", "/containers/json?all=1")) as { Id: string }[];
  const queue = all.values();
  const worker = async () => {
    for (const { Id } of queue) await call(engine, "DELETE", `/containers/${Id}?force=1&v=1`);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
}

/** One request to the engine. @throws Error for any answer but 2xx */
function call(engine: Engine, method: string, path: string, body?: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { "content-type": "application/json" };
    const asked = request({ socketPath: engine.socket, method, path, headers }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      answer.on("end", () => {
        const status = answer.statusCode ?? 0;
        if (status < 200 || status > 299) reject(new Error(`${method} ${path}: ${status} ${text.trim()}`));
        else resolve(text === "" ? undefined : JSON.parse(text));
      });
    });
    asked.on("error", reject);
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Tells each `start` of a container by the engine's own clock. The stream ends with the process, or when it is closed. */
export function watchStarts(engine: Engine, started: (id: string, at: number) => void): () => void {
  const filters = encodeURIComponent(JSON.stringify({ type: ["container"], event: ["start"] }));
  const asked = request({ socketPath: engine.socket, path: `/events?filters=${filters}` }, (answer) => {
    let rest = "";
    answer.setEncoding("utf8").on("data", (chunk: string) => {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines.filter(Boolean)) {
        const { Actor, timeNano } = JSON.parse(line) as { Actor: { ID: string }; timeNano: number };
        started(Actor.ID, timeNano / 1e6);
      }
    });
    answer.on("error", () => {});
  });
  asked.on("error", () => {});
  asked.end();
  return () => asked.destroy();
}
