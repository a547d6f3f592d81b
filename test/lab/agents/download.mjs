// Downloads and counts. Prints `started` on standard error at the first bytes and at the end {"bytes","expected","ms","error"}.
//
//   node download.mjs URL

import { get } from "node:http";

const begin = Date.now();
let bytes = 0;
let expected = -1;
const finish = (error) => {
  console.log(JSON.stringify({ bytes, expected, ms: Date.now() - begin, error }));
  process.exit(0);
};

const request = get(process.argv[2], { agent: false }, (response) => {
  expected = Number(response.headers["content-length"]);
  response.on("data", (chunk) => {
    if (bytes === 0) console.error("started");
    bytes += chunk.length;
  });
  response.on("end", () => finish(undefined));
  response.on("error", (error) => finish(error.message));
});
request.setTimeout(20_000, () => request.destroy(new Error("nothing came for 20 s")));
request.on("error", (error) => finish(error.message));
