// Numbered datagrams both ways, so that each end sees which are missing, came twice or out of order.
//
//   node datagrams.mjs serve PORT
//   node datagrams.mjs talk HOST PORT INTERVAL-MS [LOCAL-PORT]
//
// The server talks back to each client that talks to it, at the client's pace. Each end prints `received COUNT` ten times a
// second. SIGUSR1 makes the client stop, settle with the server and print {"toServer","toClient","errors"}, each way
// {"sent","received","lost","repeated","late"}; "toServer" without what the server knows when it can't be reached.

import { createSocket } from "node:dgram";
import { isIPv6 } from "node:net";

const [mode, ...rest] = process.argv.slice(2);
const DATA = 1;
const END = 2;
const SETTLED = 3;
const size = 200;
let total = 0;
setInterval(() => console.log(`received ${total}`), 100).unref();

if (mode === "serve") serve(Number(rest[0]));
else talk(rest[0], Number(rest[1]), Number(rest[2]), Number(rest[3] ?? 0));

function serve(port) {
  const socket = createSocket("udp6");
  const peers = new Map();
  socket.on("error", () => {});
  socket.on("message", (data, { address, port }) => {
    const who = `${address} ${port}`;
    const reply = (message) => socket.send(message, port, address, () => {});
    let peer = peers.get(who);
    if (!peer) {
      peer = { received: counting(), ...numbering(reply, data.readUInt16BE(1)) };
      peers.set(who, peer);
    }
    if (data[0] === DATA) peer.received.take(data);
    if (data[0] !== END) return;
    peer.stop();
    const text = JSON.stringify({ sent: peer.sent(), received: peer.received.result(data.readUInt32BE(3)) });
    reply(Buffer.concat([Buffer.from([SETTLED]), Buffer.from(text)]));
  });
  socket.bind({ port, address: "::" }, () => console.log("ready"));
}

function talk(host, port, interval, localPort) {
  const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
  const errors = {};
  const received = counting();
  const onError = (error) => {
    if (error) errors[error.code] = (errors[error.code] ?? 0) + 1;
  };
  socket.on("error", onError);
  socket.bind(localPort, () => {
    const sending = numbering((message) => socket.send(message, port, host, onError), interval);
    let ended = false;
    const finish = (server) => {
      if (ended) return;
      ended = true;
      const sent = sending.sent();
      const toServer = server ? server.received : { sent };
      const toClient = received.result(server ? server.sent : received.highest());
      console.log(JSON.stringify({ toServer, toClient, errors }));
      process.exit(0);
    };
    let up = false;
    socket.on("message", (data) => {
      if (!up) console.log("up");
      up = true;
      if (data[0] === DATA) received.take(data);
      // What is still on its way may come yet.
      if (data[0] === SETTLED) setTimeout(() => finish(JSON.parse(data.subarray(1))), 200);
    });
    process.once("SIGUSR1", () => {
      sending.stop();
      // After the last of the data, and again until it is answered.
      const end = Buffer.alloc(size);
      end[0] = END;
      end.writeUInt16BE(interval, 1);
      end.writeUInt32BE(sending.sent(), 3);
      setInterval(() => socket.send(end, port, host, onError), 200);
      setTimeout(() => finish(undefined), 5000);
    });
  });
}

/** Sends a number every so often. */
function numbering(send, interval) {
  let next = 0;
  const timer = setInterval(() => {
    const message = Buffer.alloc(size);
    message[0] = DATA;
    message.writeUInt16BE(interval, 1);
    message.writeUInt32BE(next++, 3);
    send(message);
  }, interval);
  return { sent: () => next, stop: () => clearInterval(timer) };
}

/** Remembers the numbers that came. */
function counting() {
  const seen = new Set();
  let repeated = 0;
  let late = 0;
  let highest = 0;
  return {
    highest: () => highest,
    take(data) {
      total++;
      const number = data.readUInt32BE(3);
      if (seen.has(number)) repeated++;
      else if (number + 1 < highest) late++;
      seen.add(number);
      highest = Math.max(highest, number + 1);
    },
    result: (sent) => ({ sent, received: seen.size, lost: Math.max(0, sent - seen.size), repeated, late }),
  };
}
