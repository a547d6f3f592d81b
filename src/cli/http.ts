import { type RequestOptions, request } from "node:http";

/** What a GET answered. */
export interface Answer {
  status: number;
  body: string;
}

/** An answer that grows past this is not one of ours. */
const LONGEST = 64 * 1024 * 1024;

/**
 * One GET, over TCP or a unix socket.
 * @throws what node:http throws (ECONNREFUSED, ENOENT, ...); code ETIMEDOUT when there is no whole answer in time
 */
export function get(target: RequestOptions, timeoutMs = 5_000): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request({ ...target, method: "GET", agent: false }, (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on("data", (chunk: Buffer) => {
        length += chunk.length;
        if (length > LONGEST) call.destroy(new Error("the answer is too long"));
        else chunks.push(chunk);
      });
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
      );
    });
    const timer = setTimeout(() => {
      call.destroy(Object.assign(new Error(`no answer within ${timeoutMs / 1000} s`), { code: "ETIMEDOUT" }));
    }, timeoutMs);
    call.on("close", () => clearTimeout(timer));
    call.on("error", reject);
    call.end();
  });
}
