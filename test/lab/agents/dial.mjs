// Dials a server as serve.mjs is one, and tells what both ends see. Prints {"source","peer","local","from"} or {"error"}:
// the client's address as the server saw it, getpeername(), getsockname() and whom the answer came from; ports only of peer and from.
//
//   node dial.mjs tcp|udp|udp-connected HOST PORT [LOCAL-ADDRESS]

import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";

const [kind, host, portText, localAddress] = process.argv.slice(2);
const port = Number(portText);
const finish = (result) => {
  console.log(JSON.stringify(result));
  process.exit(0);
};
setTimeout(() => finish({ error: "TIMEOUT" }), 2000);
const name = (address, number) => `${address} ${number}`;

if (kind === "tcp") dialTcp();
else await dialUdp(kind === "udp-connected");

function dialTcp() {
  const socket = connect({ host, port, localAddress });
  let text = "";
  socket.on("data", (data) => {
    text += data;
    if (!text.includes("\n")) return;
    const peer = name(socket.remoteAddress, socket.remotePort);
    finish({ source: text.split(" ")[0], peer, local: socket.localAddress });
  });
  socket.on("error", (error) => finish({ error: error.code }));
  socket.on("close", () => finish({ error: "CLOSED" }));
}

async function dialUdp(connected) {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  socket.on("error", (error) => finish({ error: error.code }));
  socket.on("message", (data, { address, port: number }) => {
    const ends = connected && {
      peer: name(socket.remoteAddress().address, socket.remoteAddress().port),
      local: socket.address().address,
    };
    finish({ source: data.toString().split(" ")[0], from: name(address, number), ...ends });
  });
  socket.bind(0, localAddress);
  await once(socket, "listening");
  if (connected) {
    socket.connect(port, host);
    await once(socket, "connect");
    socket.send("dial");
  } else socket.send("dial", port, host);
}
