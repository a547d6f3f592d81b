// Sends datagrams to a server that answers each, some at a time. Prints {"sent","received"}.
//
//   node echoes.mjs HOST PORT COUNT SIZE

import { createSocket } from "node:dgram";
import { once } from "node:events";

// So few at once that no queue on the way overflows.
const atOnce = 32;
const [host, port, count, size] = process.argv.slice(2);
const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
socket.connect(Number(port), host);
await once(socket, "connect");
const data = Buffer.alloc(Number(size), 0x66);
let [sent, received] = [0, 0];
let arrived = () => {};
socket.on("message", () => {
  received++;
  arrived();
});
while (sent < Number(count)) {
  const wanted = Math.min(Number(count), sent + atOnce);
  for (; sent < wanted; sent++) socket.send(data);
  // One that is lost is not waited for.
  const over = new Promise((resolve) => setTimeout(resolve, 1000).unref());
  while (received < sent) {
    const next = new Promise((resolve) => {
      arrived = () => resolve(true);
    });
    if (!(await Promise.race([next, over]))) break;
  }
}
console.log(JSON.stringify({ sent, received }));
socket.close();
