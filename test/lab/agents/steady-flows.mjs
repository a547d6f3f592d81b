// Sends a datagram ten times a second to each of many servers as named.c is one, each from one socket for good, so that every
// middle box knows the flow. Prints who answers, for each target when that changes and once a second: {"target","name","at"}.
//
//   node steady-flows.mjs ADDRESS,PORT...

import { createSocket } from "node:dgram";

const PERIOD_MS = 100;
const TELL_MS = 1000;

for (const target of process.argv.slice(2)) {
  const [address, port] = target.split(",");
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  let told = { name: "", at: 0 };
  socket.on("error", () => {}); // Refused, unreachable: nobody is there now.
  socket.on("message", (data) => {
    const name = data.toString("latin1").trim();
    const at = Date.now();
    if (name === told.name && at - told.at < TELL_MS) return;
    told = { name, at };
    console.log(JSON.stringify({ target, name, at }));
  });
  // Not connected: an ICMP error is nobody's, and the flow goes on.
  socket.bind(0, () => setInterval(() => socket.send("?", Number(port), address, () => {}), PERIOD_MS));
}
console.log("ready");
