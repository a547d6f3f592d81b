// Opens many short connections to a server of serve.mjs, one in three by UDP; of TCP's, some are reset and some linger. Prints
// {"ok","failed","errors"}.
//
//   node connections.mjs HOST PORT COUNT CONCURRENCY

import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";

const [host, port, count, concurrency] = process.argv.slice(2);
const result = { ok: 0, failed: 0, errors: {} };
const message = Buffer.alloc(100, 0x66);
let next = 0;

await Promise.all(Array.from({ length: Number(concurrency) }, worker));
console.log(JSON.stringify(result));

async function worker() {
  while (next < Number(count)) {
    const number = next++;
    try {
      await (number % 3 === 0 ? udp() : tcp(number));
      result.ok++;
    } catch (error) {
      result.failed++;
      const name = error.code ?? error.message;
      result.errors[name] = (result.errors[name] ?? 0) + 1;
    }
  }
}

function udp() {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
    const timer = setTimeout(() => socket.close(() => reject(new Error("no answer"))), 5000);
    socket.on("error", reject);
    socket.once("message", () => {
      clearTimeout(timer);
      socket.close(() => resolve());
    });
    socket.send(message, Number(port), host);
  });
}

function tcp(number) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port), timeout: 10_000 }, () => socket.write(message));
    let received = 0;
    let answered = false;
    socket.on("error", reject);
    socket.on("timeout", () => socket.destroy(new Error("time-out")));
    socket.on("close", () => (answered ? resolve() : reject(new Error("closed early"))));
    socket.on("data", (data) => {
      received += data.length;
      // The first line and the echo.
      if (received <= message.length || answered) return;
      answered = true;
      if (number % 10 === 1) socket.resetAndDestroy();
      else if (number % 10 === 2) setTimeout(() => socket.end(), 500);
      else socket.end();
    });
  });
}
