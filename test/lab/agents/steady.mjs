// Talks over one connection to serve.mjs, a byte every 50 ms, and prints a dot for each that came back.
//
//   node steady.mjs HOST PORT

import { connect } from "node:net";

const [host, port] = process.argv.slice(2);
const socket = connect({ host, port: Number(port), noDelay: true });
socket.on("data", (data) => {
  for (const byte of data) if (byte === 0x21) process.stdout.write(".");
});
socket.on("error", (error) => console.error(error.code));
setInterval(() => socket.write("!"), 50);
