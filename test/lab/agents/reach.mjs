// A server (serve.mjs) that asks as well: for everything at once that a line of standard input tells, and prints what came of each as
// a line, in the same order: the address under which the server saw the question, "answered" for an echo, or why not: "refused",
// "closed", "unreachable", "nothing".
//
//   node reach.mjs [--tcp PORT]... [--udp PORT]...
//   {"id","questions":[{"protocol","host","port","from","patience","size"}, ...]}  ->  {"id","answers":[...]}
//
// patience: ms. from: the own address, where the kernel shall not choose. size: more to exchange after the first answer, bytes of
// TCP, datagrams or echoes, each of which has to come back. An echo's length is its port: a capture tells it by that.
// Protocol "http": host is a URL, the answer its page.

import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, isIPv6 } from "node:net";
import { createInterface } from "node:readline";
import "./serve.mjs";

const askers = { tcp, udp, icmp, http };
for await (const line of createInterface({ input: process.stdin })) {
  const { id, questions } = JSON.parse(line);
  Promise.all(questions.map((question) => askers[question.protocol](question))).then((answers) =>
    console.log(JSON.stringify({ id, answers })),
  );
}
process.exit(0);

function why(error) {
  const known = {
    ECONNREFUSED: "refused",
    ECONNRESET: "closed",
    EPIPE: "closed",
    EHOSTUNREACH: "unreachable",
    ENETUNREACH: "unreachable",
    // It has no address of that family.
    EADDRNOTAVAIL: "unreachable",
  };
  return known[error.code] ?? error.code ?? error.message;
}

/** Says "nothing" after some time; not before what has arrived meanwhile was looked at, however busy the machine is. */
function silence(patience, end) {
  return setTimeout(() => setImmediate(end, "nothing"), patience);
}

/** The first line is the server's, all after it the echo. */
function tcp({ host, port, from, patience, size = 0 }) {
  return new Promise((resolve) => {
    const socket = connect({ host, port, ...(from && { localAddress: from }) });
    const end = (answer) => {
      clearTimeout(timer);
      resolve(answer);
      socket.destroy();
    };
    const timer = silence(patience, end);
    let seen;
    let said = "";
    let echoed = 0;
    socket.on("data", (data) => {
      if (seen !== undefined) echoed += data.length;
      else {
        said += data.toString("latin1");
        if (!said.includes("\n")) return;
        seen = said.split(" ")[0];
        echoed = said.length - said.indexOf("\n") - 1;
        if (size > 0) socket.write(Buffer.alloc(size, 0x66));
      }
      if (echoed >= size) end(seen);
    });
    socket.on("error", (error) => end(why(error)));
    socket.on("close", () => end("closed"));
  });
}

/** One datagram after another, each as soon as the one before it is answered; again after 100 ms without an answer. */
async function udp({ host, port, from, patience, size = 1 }) {
  const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
  socket.bind(0, from);
  await once(socket, "listening");
  return new Promise((resolve) => {
    const end = (answer) => {
      clearTimeout(timer);
      clearTimeout(again);
      resolve(answer);
      socket.removeAllListeners("message");
    };
    const timer = silence(patience, end);
    let again;
    let answered = 0;
    const send = () => {
      clearTimeout(again);
      socket.send("?", (error) => error && end(why(error)));
      again = setTimeout(send, 100);
    };
    socket.on("error", (error) => end(why(error)));
    socket.on("message", (data) => {
      if (++answered >= size) end(data.toString("latin1").split(" ")[0]);
      else send();
    });
    // Connected: an answer from elsewhere does not count, and ICMP errors are seen.
    socket.connect(port, host, (error) => (error ? end(why(error)) : send()));
  });
}

async function icmp({ host, port, patience, size = 2 }) {
  const wait = String(Math.floor(patience / 1000));
  const options = ["-c", String(size), "-i", "0.005", "-W", wait, "-s", String(port)];
  const child = spawn("busybox", ["ping", ...options, host]);
  let said = "";
  child.stdout.on("data", (data) => {
    said += data;
  });
  child.stderr.on("data", (data) => {
    said += data;
  });
  await once(child, "close");
  if (/ttl=/.test(said)) return "answered";
  return /unreachable|cannot assign/i.test(said) ? "unreachable" : "nothing";
}

async function http({ host }) {
  return (await fetch(host)).text();
}
