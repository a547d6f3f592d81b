// The server of named.c: answers each datagram with what it said, at once and twice more within a second, when the asker may be
// gone and somebody else have its address. At http://.../ it tells whom it has heard, and what was reported to it:
// {"heard":{NAME:{"first","last","count","gap"}},"strays":[...]}; times in ms of the epoch, gap the longest silence between two.
//
//   node late-answers.mjs PORT HTTP-PORT

import { createSocket } from "node:dgram";
import { createServer } from "node:http";

const [port, httpPort] = process.argv.slice(2).map(Number);
const LATER_MS = [300, 900];
const heard = new Map();
const strays = [];

const socket = createSocket("udp4");
socket.on("error", () => {}); // An ICMP error for a late answer.
socket.on("message", (data, from) => {
  const text = data.toString("latin1");
  if (text.startsWith("STRAY ")) {
    strays.push(`${text} (from port ${from.port})`);
    return;
  }
  hear(text, Date.now());
  const answer = () => socket.send(data, from.port, from.address);
  answer();
  for (const ms of LATER_MS) setTimeout(answer, ms);
});
socket.bind(port, () =>
  createServer((_request, response) =>
    response.end(JSON.stringify({ heard: Object.fromEntries(heard), strays })),
  ).listen(httpPort, () => console.log("ready")),
);

function hear(name, now) {
  const known = heard.get(name);
  if (known === undefined) {
    heard.set(name, { first: now, last: now, count: 1, gap: 0 });
    return;
  }
  known.gap = Math.max(known.gap, now - known.last);
  known.last = now;
  known.count++;
}
