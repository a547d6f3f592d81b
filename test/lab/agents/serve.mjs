// A small server that tells its clients which address it sees them under. Prints `ready` when every socket listens.
//
//   node serve.mjs [--http PORT] [--tcp PORT] [--udp PORT]
//
// HTTP: / answers {"address","port"}; /page a small page; /bytes/N N zero bytes; /stream?rate=BYTES so many each second until
// SIGUSR1, which ends all of them in good order.
// TCP: a line "ADDRESS PORT", then everything is echoed. UDP: each datagram is answered by "ADDRESS PORT LENGTH".

import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer as createHttp } from "node:http";
import { createServer as createTcp } from "node:net";
import { parseArgs } from "node:util";

const text = { type: "string" };
const { values } = parseArgs({ options: { http: text, tcp: text, udp: text } });
const page = `${"fairway ".repeat(80)}\n`;
process.setMaxListeners(100); // A stream each.

if (values.http) await listenHttp(Number(values.http));
if (values.tcp) await listenTcp(Number(values.tcp));
if (values.udp) await listenUdp(Number(values.udp));
console.log("ready");

async function listenHttp(port) {
  const server = createHttp(async (request, response) => {
    const { remoteAddress: address, remotePort } = request.socket;
    const url = new URL(request.url, "http://server");
    if (url.pathname.startsWith("/bytes/")) response.end(Buffer.alloc(Number(url.pathname.slice(7))));
    else if (url.pathname === "/stream") await stream(response, Number(url.searchParams.get("rate")));
    else response.end(url.pathname === "/page" ? page : JSON.stringify({ address, port: remotePort }));
  });
  server.keepAliveTimeout = 60_000;
  await once(server.listen(port, "0.0.0.0"), "listening");
}

async function stream(response, rate) {
  const begin = Date.now();
  const chunk = Buffer.alloc(65536);
  let told = false;
  process.once("SIGUSR1", () => {
    told = true;
  });
  for (let sent = 0; !told && !response.destroyed; sent += chunk.length) {
    if (!response.write(chunk)) await Promise.race([once(response, "drain"), once(response, "close")]);
    const early = (sent / rate) * 1000 - (Date.now() - begin);
    if (early > 5) await new Promise((resolve) => setTimeout(resolve, early));
  }
  response.end();
}

async function listenTcp(port) {
  const server = createTcp((socket) => {
    socket.on("error", () => {});
    socket.write(`${socket.remoteAddress} ${socket.remotePort}\n`);
    socket.pipe(socket);
  });
  await once(server.listen(port, "0.0.0.0"), "listening");
}

async function listenUdp(port) {
  const socket = createSocket("udp4");
  socket.on("error", () => {}); // An ICMP error for an earlier answer.
  socket.on("message", (data, from) =>
    socket.send(`${from.address} ${from.port} ${data.length}`, from.port, from.address),
  );
  socket.bind(port, "0.0.0.0");
  await once(socket, "listening");
}
