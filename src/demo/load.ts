import { fileURLToPath } from "node:url";
import { pinning } from "./cpus.js";
import { HOST_ADDRESS } from "./network.js";
import { inside, run, which } from "./process.js";

/** A connection for every request, or all requests over connections that stay. */
export type LoadMode = "close" | "keep-alive";

export interface LoadResult {
  requestsPerSecond: number;
  /** Median, from the request sent to the answer complete. */
  latencyMs: number;
  errors: number;
}

export interface Load {
  /** "wrk" or "node" */
  readonly tool: string;
  measure(mode: LoadMode): Promise<LoadResult>;
}

const CONNECTIONS = 16;
const SECONDS = 1;

export const agentPath = fileURLToPath(new URL("../demo/agent.js", import.meta.url));

/** A bounded load from a namespace on a published port of the host: one second a measurement, by wrk where it is installed. */
export function makeLoad(namespace: string, port: number): Load {
  const wrk = which("wrk");
  const cpu = pinning()?.client;
  const pinned = cpu === undefined || which("taskset") === undefined ? [] : ["taskset", "-c", String(cpu)];
  const measure = (command: string[]) =>
    run(inside(namespace, [...pinned, ...command]), (SECONDS + 10) * 1000);
  if (wrk === undefined) {
    return {
      tool: "node",
      async measure(mode) {
        const agent = [process.execPath, agentPath, "load", HOST_ADDRESS, String(port)];
        return JSON.parse(
          await measure([...agent, mode, String(SECONDS), String(CONNECTIONS)]),
        ) as LoadResult;
      },
    };
  }
  return {
    tool: "wrk",
    async measure(mode) {
      const options = ["-t1", `-c${CONNECTIONS}`, `-d${SECONDS}s`, "--latency", "-H", `Connection: ${mode}`];
      return parseWrk(await measure([wrk, ...options, `http://${HOST_ADDRESS}:${port}/`]));
    },
  };
}

/** What wrk 4 prints with --latency. */
export function parseWrk(text: string): LoadResult {
  const rate = /^Requests\/sec:\s+([\d.]+)/m.exec(text)?.[1];
  if (rate === undefined) throw new Error(`wrk said no rate: ${text.trim().split("\n").at(-1)}`);
  const [, median = "0", unit = "ms"] = /^\s+50%\s+([\d.]+)(us|ms|s)/m.exec(text) ?? [];
  const socketErrors = /Socket errors: (.*)/.exec(text)?.[1]?.match(/\d+/g) ?? [];
  const badAnswers = /Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? "0";
  return {
    requestsPerSecond: Number(rate),
    latencyMs: Number(median) * { us: 0.001, ms: 1, s: 1000 }[unit as "us" | "ms" | "s"],
    errors: [...socketErrors, badAnswers].reduce((sum, count) => sum + Number(count), 0),
  };
}
