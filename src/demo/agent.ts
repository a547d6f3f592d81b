/*
 * What the demo runs in its namespaces and containers, each as a process of its own. Needs nothing but Node: a copy of
 * this file alone is in the containers.
 *   agent serve ADDRESS PORT                            a web server
 *   agent visit URL...                                  fetches each of them twice a second
 *   agent load ADDRESS PORT MODE SECONDS CONNECTIONS    a bounded load; prints one LoadResult as JSON
 */
import { createServer, get } from "node:http";
import { connect } from "node:net";
import type { LoadMode, LoadResult } from "./load.js";

const [task, ...args] = process.argv.slice(2);
const [address = "", port = "", mode = "", seconds = "", connections = ""] = args;
if (task === "serve") serve();
else if (task === "visit") visit(args);
else process.stdout.write(JSON.stringify(await load(mode as LoadMode, Number(seconds), Number(connections))));

function serve(): void {
  const page = `<p>${"served by the fairway demo ".repeat(20)}</p>\n`;
  createServer((_request, response) => response.end(page)).listen(Number(port), address);
}

function visit(urls: readonly string[]): void {
  setInterval(() => {
    for (const url of urls) {
      const request = get(url, { agent: false, timeout: 2000 }, (response) => response.resume());
      request.on("timeout", () => request.destroy());
      request.on("error", () => undefined);
    }
  }, 500);
}

async function load(loadMode: LoadMode, limit: number, count: number): Promise<LoadResult> {
  const end = performance.now() + limit * 1000;
  const latencies: number[] = [];
  let errors = 0;
  const loop = async () => {
    while (performance.now() < end) {
      try {
        await (loadMode === "close"
          ? one("close", () => true)
          : one("keep-alive", () => performance.now() >= end));
      } catch {
        errors++;
        // A server that refuses is not to be asked a million times.
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
  };
  const begin = performance.now();
  await Promise.all(Array.from({ length: count }, loop));
  const elapsed = (performance.now() - begin) / 1000;
  latencies.sort((a, b) => a - b);
  return {
    requestsPerSecond: latencies.length / elapsed,
    latencyMs: latencies[Math.floor(latencies.length / 2)] ?? 0,
    errors,
  };

  /** One connection: requests one after the other until `last()` says that this was the last one. */
  function one(connection: string, last: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: address, port: Number(port), noDelay: true });
      const request = `GET / HTTP/1.1\r\nHost: demo\r\nConnection: ${connection}\r\n\r\n`;
      let sent = performance.now();
      let received: Buffer = Buffer.alloc(0);
      socket.setTimeout(2000, () => socket.destroy(new Error("timeout")));
      socket.on("error", reject);
      socket.on("connect", () => socket.write(request));
      socket.on("data", (chunk: Buffer) => {
        received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
        const length = answerLength(received);
        if (length === undefined || received.length < length) return;
        latencies.push(performance.now() - sent);
        received = received.subarray(length);
        if (last()) {
          socket.destroy();
          return resolve();
        }
        sent = performance.now();
        socket.write(request);
      });
      socket.on("close", () => reject(new Error("closed")));
    });
  }
}

/** Bytes of the first whole answer by its Content-Length; undefined while its headers are not there. */
function answerLength(received: Buffer): number | undefined {
  const headersEnd = received.indexOf("\r\n\r\n");
  if (headersEnd < 0) return undefined;
  const length = /^content-length: (\d+)/im.exec(received.toString("latin1", 0, headersEnd))?.[1];
  if (length === undefined) throw new Error("an answer without Content-Length");
  return headersEnd + 4 + Number(length);
}
