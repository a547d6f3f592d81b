// Answers the first datagram's sender for ever, whether or not it goes on asking. Prints `ready` when it listens.
//
//   node answer.mjs PORT

import { createSocket } from "node:dgram";

const socket = createSocket("udp4");
const answered = new Set();
socket.on("error", () => {});
socket.on("message", (_, from) => {
  const who = `${from.address}:${from.port}`;
  if (answered.has(who)) return;
  answered.add(who);
  setInterval(() => socket.send("OLD answer", from.port, from.address, () => {}), 2);
});
socket.bind(Number(process.argv[2]), "0.0.0.0", () => console.log("ready"));
