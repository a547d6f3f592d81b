// A TCP stream whose every byte is known, so that the receiver sees what is lost, repeated or wrong.
//
//   node stream.mjs serve PORT
//   node stream.mjs download|upload HOST PORT RATE     RATE: bytes per second, 0: as fast as it goes
//
// A client prints `connected`, a receiver `received BYTES` ten times a second. SIGUSR1 ends the client's stream in good order; it then prints
// {"bytes","exact","error"} as the receiver has it.

import { connect, createServer } from "node:net";

const [mode, ...rest] = process.argv.slice(2);
// A prime length: a stretch that is repeated or left out is never a whole number of periods.
const period = 1_048_573;
const pattern = Buffer.alloc(period * 2);
for (let i = 0, x = 1; i < period; i++) {
  x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
  pattern[i] = x >>> 24;
}
pattern.copy(pattern, period, 0, period);
const chunkSize = 65536;
let total = 0;

if (mode === "serve") serve(Number(rest[0]));
else client(rest[0], Number(rest[1]), Number(rest[2]));

function serve(port) {
  reportProgress();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on("error", () => {});
    let head = "";
    socket.on("data", function first(data) {
      head += data.toString("latin1");
      const line = head.indexOf("\n");
      if (line < 0) return;
      const [what, rate] = head.slice(0, line).split(" ");
      socket.off("data", first);
      if (what === "download") {
        const sending = send(socket, Number(rate));
        // Whatever it says next: it has enough.
        socket.once("data", sending.stop);
        return;
      }
      const receiver = receive();
      receiver.take(Buffer.from(head.slice(line + 1), "latin1"));
      socket.on("data", receiver.take);
      socket.on("end", () => socket.end(`${JSON.stringify(receiver.state)}\n`));
    });
  });
  server.listen(port, "::", () => console.log("ready"));
}

function client(host, port, rate) {
  const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
  let state = { bytes: 0, exact: true };
  let done = false;
  const finish = (error) => {
    if (done) return;
    done = true;
    console.log(JSON.stringify({ ...state, ...(error && { error }) }));
    process.exit(0);
  };
  socket.on("error", (error) => finish(error.code));
  socket.on("close", () => finish("CLOSED"));
  socket.on("connect", () => {
    console.log("connected");
    socket.write(`${mode} ${rate}\n`);
    if (mode === "download") download();
    else upload();
  });

  function download() {
    const receiver = receive();
    state = receiver.state;
    reportProgress();
    socket.on("data", receiver.take);
    socket.on("end", () => {
      socket.end();
      finish();
    });
    process.once("SIGUSR1", () => socket.write("end\n"));
  }

  function upload() {
    const sending = send(socket, rate);
    process.once("SIGUSR1", sending.stop);
    let answer = "";
    socket.on("data", (data) => {
      answer += data;
    });
    socket.on("end", () => {
      state = answer ? JSON.parse(answer) : state;
      finish(answer ? undefined : "ENDED");
    });
  }
}

/** Sends the pattern until it is told to stop. */
function send(socket, rate) {
  const begin = Date.now();
  let sent = 0;
  let stopped = false;
  const go = () => {
    while (!stopped && !socket.destroyed) {
      const early = rate ? (sent / rate) * 1000 - (Date.now() - begin) : 0;
      if (early > 2) return void setTimeout(go, early);
      const at = sent % period;
      sent += chunkSize;
      if (!socket.write(pattern.subarray(at, at + chunkSize))) return void socket.once("drain", go);
    }
    socket.end();
  };
  go();
  return {
    stop: () => {
      stopped = true;
      // A sender that waits for its peer ends too.
      if (socket.writableNeedDrain) socket.end();
    },
  };
}

/** Compares what comes with the pattern. */
function receive() {
  const state = { bytes: 0, exact: true };
  const take = (data) => {
    for (let at = 0; at < data.length; at += period) {
      const piece = data.subarray(at, at + period);
      const from = state.bytes % period;
      if (state.exact && !piece.equals(pattern.subarray(from, from + piece.length))) state.exact = false;
      state.bytes += piece.length;
      total += piece.length;
    }
  };
  return { state, take };
}

function reportProgress() {
  setInterval(() => console.log(`received ${total}`), 100).unref();
}
