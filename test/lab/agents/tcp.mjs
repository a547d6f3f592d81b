// Connects, sends a message, reads the first line and the echo (see serve.mjs). Prints {"source","echoed"} or {"error"}.
//
//   node tcp.mjs HOST PORT MESSAGE-SIZE [TIMEOUT-MS]

import { connect } from "node:net";

const [host, port, size, timeout = "3000"] = process.argv.slice(2);
const finish = (result) => {
  console.log(JSON.stringify(result));
  process.exit(0);
};
const message = Buffer.alloc(Number(size), 0x66);
const socket = connect({ host, port: Number(port) }, () => socket.write(message));
const timer = setTimeout(() => finish({ error: "TIMEOUT" }), Number(timeout));
timer.unref();
let got = Buffer.alloc(0);
socket.on("data", (chunk) => {
  got = Buffer.concat([got, chunk]);
  const line = got.indexOf("\n");
  if (line >= 0 && got.length - line - 1 >= message.length)
    finish({ source: got.subarray(0, line).toString(), echoed: got.subarray(line + 1).equals(message) });
});
socket.on("error", (error) => finish({ error: error.code }));
socket.on("close", () => finish({ error: "CLOSED" }));
