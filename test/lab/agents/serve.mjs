// A small server that tells its clients which address it sees them under. Prints `ready` when every socket listens.
//
//   node serve.mjs [--http PORT] [--tcp PORT,...] [--udp PORT,...]
//
// HTTP: / answers {"address","port"}; /page a small page; /bytes/N N zero bytes; /stream?rate=BYTES so many each second until
// SIGUSR1, which ends all of them in good order.
// TCP: a line "ADDRESS PORT", then everything is echoed. UDP: each datagram is answered by "ADDRESS PORT LENGTH".
// Everything in IPv4 and IPv6, on sockets of their own.

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
for (const port of values.tcp?.split(",") ?? []) await listenTcp(Number(port));
for (const port of values.udp?.split(",") ?? []) await listenUdp(Number(port));
console.log("ready");

/** One server for each family. ipv6Only: or it would take IPv4's clients as well and call them ::ffff:ADDRESS. */
async function listenBoth(port, makeServer) {
  for (const host of ["0.0.0.0", "::"])
    await once(makeServer().listen({ port, host, ipv6Only: true }), "listening");
}

async function listenHttp(port) {
  const answer = async (request, response) => {
    const { remoteAddress: address, remotePort } = request.socket;
    const url = new URL(request.url, "http://server");
    if (url.pathname.startsWith("/bytes/")) response.end(Buffer.alloc(Number(url.pathname.slice(7))));
    else if (url.pathname === "/stream") await stream(response, Number(url.searchParams.get("rate")));
    else response.end(url.pathname === "/page" ? page : JSON.stringify({ address, port: remotePort }));
  };
  await listenBoth(port, () => Object.assign(createHttp(answer), { keepAliveTimeout: 60_000 }));
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
  const echo = (socket) => {
    socket.on("error", () => {});
    socket.write(`${socket.remoteAddress} ${socket.remotePort}\n`);
    socket.pipe(socket);
  };
  await listenBoth(port, () => createTcp(echo));
}

async function listenUdp(port) {
  for (const type of ["udp4", "udp6"]) {
    const socket = createSocket({ type, ipv6Only: type === "udp6" });
    socket.on("error", () => {}); // An ICMP error for an earlier answer.
    socket.on("message", (data, from) =>
      socket.send(`${from.address} ${from.port} ${data.length}`, from.port, from.address),
    );
    socket.bind(port);
    await once(socket, "listening");
  }
}
