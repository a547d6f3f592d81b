// Dials servers as serve.mjs is one, all at once, and tells what both ends see. Prints a list, for each dial
// {"source","peer","local","from"} or {"error"}: the client's address as the server saw it, getpeername(), getsockname()'s
// address, and whom the answer to a datagram came from.
//
//   node dial.mjs KIND,HOST,PORT...
//
// KIND: tcp; udp, without connect(); udp-connected.

import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";

const PATIENCE_MS = 1500;

console.log(JSON.stringify(await Promise.all(process.argv.slice(2).map(answerTo))));

function answerTo(argument) {
  const [kind, host, port] = argument.split(",");
  return kind === "tcp" ? dialTcp(host, Number(port)) : dialUdp(kind === "udp-connected", host, Number(port));
}

function name(address, port) {
  return `${address} ${port}`;
}

function dialTcp(host, port) {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const finish = (answer) => {
      clearTimeout(timer);
      resolve(answer);
      socket.destroy();
    };
    const timer = setTimeout(finish, PATIENCE_MS, { error: "TIMEOUT" });
    let text = "";
    socket.on("data", (data) => {
      text += data;
      if (!text.includes("\n")) return;
      const peer = name(socket.remoteAddress, socket.remotePort);
      finish({ source: text.split(" ")[0], peer, local: socket.localAddress });
    });
    socket.on("error", (error) => finish({ error: error.code }));
    socket.on("close", () => finish({ error: "CLOSED" }));
  });
}

async function dialUdp(isConnected, host, port) {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  socket.bind();
  await once(socket, "listening");
  const answer = await new Promise((resolve) => {
    const timer = setTimeout(resolve, PATIENCE_MS, { error: "TIMEOUT" });
    const finish = (one) => {
      clearTimeout(timer);
      resolve(one);
    };
    socket.on("error", (error) => finish({ error: error.code }));
    socket.on("message", (data, from) => {
      const ends = isConnected && {
        peer: name(socket.remoteAddress().address, socket.remoteAddress().port),
        local: socket.address().address,
      };
      finish({ source: data.toString().split(" ")[0], from: name(from.address, from.port), ...ends });
    });
    if (isConnected)
      socket.connect(port, host, (error) => (error ? finish({ error: error.code }) : socket.send("dial")));
    else socket.send("dial", port, host);
  });
  socket.close();
  return answer;
}
