// Sends datagrams and collects the answers. Prints {"sent","received","answers","errors"}; answers without repetitions.
//
//   node udp.mjs HOST PORT COUNT INTERVAL-MS SIZE [LOCAL-PORT]

import { createSocket } from "node:dgram";
import { once } from "node:events";

const [host, port, count, interval, size, localPort] = process.argv.slice(2);
const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
const answers = new Set();
const errors = new Set();
let received = 0;
let sent = 0;
socket.on("message", (data) => {
  received++;
  answers.add(data.toString("latin1").slice(0, 200));
});
socket.on("error", (error) => errors.add(error.code));
socket.bind(localPort ? Number(localPort) : 0);
await once(socket, "listening");
// Connected: answers from elsewhere don't count, and ICMP errors are seen.
socket.connect(Number(port), host);
await once(socket, "connect");
const data = Buffer.alloc(Number(size), 0x66);
for (; sent < Number(count); sent++) {
  await new Promise((resolve) =>
    socket.send(data, (error) => {
      if (error) errors.add(error.code);
      resolve();
    }),
  );
  await pause(Number(interval));
}
for (let i = 0; i < 40 && received < sent && errors.size === 0; i++) await pause(50);
console.log(JSON.stringify({ sent, received, answers: [...answers], errors: [...errors] }));
socket.close();

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
