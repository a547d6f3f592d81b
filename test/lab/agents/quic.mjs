// Datagrams in the way of QUIC: many flows at a time, both sides send, and a client goes on from another port.
//
//   node quic.mjs serve PORT                                         prints `ready`
//   node quic.mjs ask HOST PORT FLOWS MESSAGES SIZE MIGRATIONS       prints {"sent","echoed","wrong","pushed","stray","sources"}
//
// A flow is known by its id, not by where it comes from: the server answers to where its last message came from, with the
// message and with one of its own. Messages are given up after two seconds, never repeated: whatever is lost shows.
// sources: "ADDRESS PORT" of each port that the flows used, as the server saw it. stray: what reached a port that is no
// longer in use.

import { createSocket } from "node:dgram";
import { once } from "node:events";

const [role, ...args] = process.argv.slice(2);
if (role === "serve") await serve(Number(args[0]));
else console.log(JSON.stringify(await ask(args[0], ...args.slice(1).map(Number))));

async function serve(port) {
  for (const type of ["udp4", "udp6"]) {
    const socket = createSocket({ type, ipv6Only: type === "udp6" });
    socket.on("error", () => {}); // An ICMP error for a port that its client has left.
    socket.on("message", (message, from) => {
      const source = Buffer.from(`${from.address} ${from.port}\0`);
      const answer = (kind) =>
        socket.send([Buffer.from(kind), source, message], from.port, from.address, () => {});
      answer("echo ");
      answer("push ");
    });
    socket.bind(port);
    await once(socket, "listening");
  }
  console.log("ready");
}

async function ask(host, port, flows, messages, size, migrations) {
  const result = { sent: 0, echoed: 0, wrong: 0, pushed: 0, stray: 0, sources: [] };
  const sources = new Set();
  await Promise.all(Array.from({ length: flows }, (_, id) => flow(id)));
  return { ...result, sources: [...sources] };

  async function flow(id) {
    const sockets = [];
    for (let part = 0; part <= migrations; part++) {
      const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
      sockets.push(socket);
      socket.on("error", () => {});
      socket.connect(port, host);
      await once(socket, "connect");
      for (let i = 0; i < messages; i++) await exchange(socket, id, part * messages + i);
      socket.removeAllListeners("message");
      // The last message's push may still be on its way; what comes after that is for nobody.
      setTimeout(() => socket.on("message", () => result.stray++), 500).unref();
    }
    for (const socket of sockets) socket.close();
  }

  async function exchange(socket, id, number) {
    const message = Buffer.alloc(size, (id * 31 + number * 7) & 0xff);
    message.writeUInt32BE(id, 0);
    message.writeUInt32BE(number, 4);
    result.sent++;
    const both = new Promise((resolve) => {
      const seen = new Set();
      const onMessage = (data) => {
        const kind = data.toString("latin1", 0, 5);
        const end = data.indexOf(0, 5);
        const own = data.subarray(end + 1);
        if (kind === "echo ") sources.add(data.toString("latin1", 5, end));
        if (own.length === size && own.readUInt32BE(4) !== number) return; // An earlier one's, late.
        if (!own.equals(message)) result.wrong++;
        else if (kind === "echo ") result.echoed++;
        else result.pushed++;
        if (seen.add(kind).size === 2) {
          socket.off("message", onMessage);
          resolve();
        }
      };
      socket.on("message", onMessage);
    });
    socket.send(message, () => {});
    let timer;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, 2000);
    });
    await Promise.race([both, late]);
    clearTimeout(timer);
  }
}
