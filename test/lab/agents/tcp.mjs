// Connects, sends a message, reads the first line and the echo (see serve.mjs). Prints {"source","echoed"} or {"error"}.
//
//   node tcp.mjs HOST PORT MESSAGE-SIZE [TIMEOUT-MS]

import { connect } from "node:net";

const [host, port, size, timeout = "3000"] = process.argv.slice(2);
const finish = (result) => {
  console.log(JSON.stringify(result));
  process.exit(0);
};
// No two neighbouring stretches are the same, so that what is lost, repeated or out of order shows.
const message = Buffer.alloc(Number(size));
for (let i = 0; i < message.length; i++) message[i] = (i * 31 + (i >> 8) * 7) & 0xff;
let source;
let head = Buffer.alloc(0);
let echoed = 0;

const socket = connect({ host, port: Number(port) }, () => socket.write(message));
const timer = setTimeout(() => finish({ error: "TIMEOUT" }), Number(timeout));
timer.unref();
socket.on("data", (chunk) => {
  let rest = chunk;
  if (source === undefined) {
    head = Buffer.concat([head, chunk]);
    const line = head.indexOf("\n");
    if (line < 0) return;
    source = head.subarray(0, line).toString();
    rest = head.subarray(line + 1);
  }
  if (!rest.equals(message.subarray(echoed, echoed + rest.length))) finish({ source, echoed: false });
  echoed += rest.length;
  if (echoed === message.length) finish({ source, echoed: true });
});
socket.on("error", (error) => finish({ error: error.code }));
socket.on("close", () => finish({ error: "CLOSED" }));
