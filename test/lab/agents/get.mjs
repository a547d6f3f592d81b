// Prints the body of a page.
//
//   node get.mjs URL

import { get } from "node:http";

/** As test/lab/lib/process.ts has it: an emulated processor takes its time. */
const patience = Number(process.env.FAIRWAY_LAB_PATIENCE ?? 1);
const request = get(process.argv[2], { agent: false, timeout: 5000 * patience }, (response) => {
  if (response.statusCode !== 200) process.exitCode = 1;
  response.pipe(process.stdout);
});
request.on("timeout", () => request.destroy(new Error("time-out")));
request.on("error", (error) => {
  console.error(error.message);
  process.exitCode = 1;
});
