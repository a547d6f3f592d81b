// Fetches a page many times and prints {"ok","failed","errors","bytes"}.
//
//   node http-load.mjs URL COUNT fresh|keep CONCURRENCY      fresh: every fetch by a new connection

import { Agent, get } from "node:http";

const [url, count, kind, concurrency] = process.argv.slice(2);
// Not an Agent without keepAlive for fresh ones: it hands a finished connection to the next request that waits.
const agent = kind === "keep" ? new Agent({ keepAlive: true, maxSockets: Number(concurrency) }) : undefined;
const result = { ok: 0, failed: 0, errors: {}, bytes: 0 };
let left = Number(count);

await Promise.all(Array.from({ length: Number(concurrency) }, worker));
agent?.destroy();
console.log(JSON.stringify(result));

async function worker() {
  while (left-- > 0) {
    try {
      // Not +=, which reads the sum before it waits: what others add meanwhile would be lost.
      const bytes = await fetchOnce();
      result.bytes += bytes;
      result.ok++;
    } catch (error) {
      result.failed++;
      result.errors[error.message] = (result.errors[error.message] ?? 0) + 1;
    }
  }
}

function fetchOnce() {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: agent ?? false, timeout: 10_000 }, (response) => {
      let bytes = 0;
      response.on("data", (chunk) => {
        bytes += chunk.length;
      });
      response.on("end", () =>
        response.statusCode === 200 ? resolve(bytes) : reject(new Error(`status ${response.statusCode}`)),
      );
      response.on("error", reject);
    });
    request.on("timeout", () => request.destroy(new Error("time-out")));
    request.on("error", reject);
  });
}
