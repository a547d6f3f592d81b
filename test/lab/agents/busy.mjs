// Keeps a flow busy until it is stopped: sends every few milliseconds, ignores errors and answers. Prints `ready` when the flow is up.
//
//   node busy.mjs udp|tcp HOST PORT INTERVAL-MS MARK [LOCAL-PORT]      every message begins with MARK

import { createSocket } from "node:dgram";
import { connect } from "node:net";

const [protocol, host, port, interval, mark, localPort] = process.argv.slice(2);
const data = `${mark} `.repeat(8);
let ready = false;
const up = () => {
  if (!ready) console.log("ready");
  ready = true;
};

if (protocol === "udp") {
  const socket = createSocket("udp4");
  socket.on("error", () => {});
  socket.on("message", up);
  socket.bind(localPort ? Number(localPort) : 0, () => {
    setInterval(() => socket.send(data, Number(port), host, () => {}), Number(interval));
  });
} else {
  const socket = connect({ host, port: Number(port) }, () => {
    setInterval(() => socket.writable && socket.write(data), Number(interval));
  });
  socket.on("data", up);
  // A reset connection is the end of this flow; the process stays until it is stopped.
  socket.on("error", (error) => console.log(`error ${error.code}`));
  setInterval(() => {}, 1000);
}
