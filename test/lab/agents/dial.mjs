// Dials servers as serve.mjs is one, one after the other, and tells what both ends see. Prints a list, for each dial
// {"source","peer","local","from"} or {"error"}: the client's address as the server saw it, getpeername(), getsockname()'s
// address, and whom the answer to a datagram came from.
//
//   node dial.mjs KIND,HOST,PORT[,LOCAL-ADDRESS[,LOCAL-PORT]]...
//
// KIND: tcp; udp, without connect(); udp-connected; udp-both, which sends to an address though it is connected to it;
// tcp6, udp6: an IPv6 socket that dials an IPv4 address as ::ffff:a.b.c.d.

import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";

const PATIENCE_MS = 800;
const name = (address, port) => `${address} ${port}`;

const answers = [];
for (const argument of process.argv.slice(2)) {
  const [kind, address, port, localAddress, localPort] = argument.split(",");
  const host = kind.endsWith("6") ? `::ffff:${address}` : address;
  const local = { localAddress: localAddress || undefined, localPort: Number(localPort ?? 0) };
  const dial = kind.startsWith("tcp") ? dialTcp : dialUdp;
  answers.push(await dial(kind, host, Number(port), local));
}
console.log(JSON.stringify(answers));

function dialTcp(_kind, host, port, local) {
  return new Promise((resolve) => {
    const socket = connect({ host, port, ...local });
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

async function dialUdp(kind, host, port, { localAddress, localPort }) {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  socket.bind(localPort, localAddress);
  await once(socket, "listening");
  const isConnected = kind === "udp-connected" || kind === "udp-both";
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
    if (isConnected) socket.connect(port, host, (error) => (error ? finish({ error: error.code }) : send()));
    else socket.send("dial", port, host);
  });
  socket.close();
  return answer;

  function send() {
    if (kind === "udp-both") sendTo(socket, port, host);
    else socket.send("dial");
  }
}

/** Node itself refuses to name an address on a connected socket; the kernel does not. */
function sendTo(socket, port, host) {
  const handle = Object.getOwnPropertySymbols(socket).find((symbol) => String(symbol) === "Symbol(state symbol)");
  const state = socket[handle];
  const before = state.connectState;
  state.connectState = 0;
  socket.send("dial", port, host);
  state.connectState = before;
}
