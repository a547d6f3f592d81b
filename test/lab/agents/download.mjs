// Downloads and counts. Prints `started` on standard error at the first bytes and at the end {"bytes","ms","error"}.
//
//   node download.mjs URL

import { get } from "node:http";

const begin = Date.now();
let bytes = 0;
const finish = (error) => {
  console.log(JSON.stringify({ bytes, ms: Date.now() - begin, error }));
  process.exit(0);
};

const request = get(process.argv[2], { agent: false }, (response) => {
  // An answer that is cut off is an error: both a length and chunks tell where the end is.
  response.on("data", (chunk) => {
    if (bytes === 0) console.error("started");
    bytes += chunk.length;
  });
  response.on("end", () => finish(undefined));
  response.on("error", (error) => finish(error.message));
});
request.setTimeout(20_000, () => request.destroy(new Error("nothing came for 20 s")));
request.on("error", (error) => finish(error.message));
