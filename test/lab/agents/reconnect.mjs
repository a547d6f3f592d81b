// Connects again and again from the same local port, as soon as the last connection is over. Prints {"ms","errors"}: for each
// connection the milliseconds until its answer was there.
//
//   node reconnect.mjs HOST PORT LOCAL-PORT COUNT fin|rst     fin: the server closes first; rst: we reset

import { connect } from "node:net";

const [host, port, localPort, count, how] = process.argv.slice(2);
const result = { ms: [], errors: [] };
for (let i = 0; i < Number(count); i++) {
  try {
    result.ms.push(await once());
  } catch (error) {
    result.errors.push(error.code ?? error.message);
  }
}
console.log(JSON.stringify(result));

function once() {
  return new Promise((resolve, reject) => {
    const begin = performance.now();
    let ms;
    const socket = connect({ host, port: Number(port), localPort: Number(localPort), timeout: 10_000 });
    // The server of stream.mjs sends until it hears something, and closes then.
    socket.write("download 1000000\n");
    socket.on("data", () => {
      if (ms !== undefined) return;
      ms = performance.now() - begin;
      if (how === "rst") socket.resetAndDestroy();
      else socket.write("end\n");
    });
    socket.on("error", reject);
    socket.on("timeout", () => socket.destroy(new Error("time-out")));
    socket.on("close", () =>
      ms === undefined ? reject(new Error("closed early")) : resolve(Math.round(ms)),
    );
  });
}
