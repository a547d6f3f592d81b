// Opens many connections at once to serve.mjs and waits for what it says first, or sends it one datagram from each of many
// sockets. Prints how many were answered and under which address it saw them: {"answered","seen"}.
//
//   node many.mjs tcp|udp HOST PORT COUNT WAIT-MS [LOCAL-ADDRESS]

import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";

const [proto, host, port, count, wait, localAddress] = process.argv.slice(2);
const seen = new Set();
let answered = 0;
let left = Number(count);

const answer = (data) => {
  answered++;
  seen.add(data.toString("latin1").split(" ")[0]);
  if (--left === 0) finish();
};

for (let i = 0; i < Number(count); i++) (proto === "tcp" ? openTcp : openUdp)();
setTimeout(finish, Number(wait));

function openTcp() {
  const socket = connect({ host, port: Number(port), ...(localAddress && { localAddress }) });
  socket.once("data", answer);
  socket.on("error", () => {});
}

function openUdp() {
  const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
  socket.once("message", answer);
  socket.on("error", () => {});
  socket.bind(0, localAddress, () => socket.send("x", Number(port), host));
}

function finish() {
  console.log(JSON.stringify({ answered, seen: [...seen] }));
  process.exit(0);
}
