// Holds connections to a web server: idle ones, and busy ones that each ask for the page every few milliseconds. Prints `ready`
// when every one has got its page. On SIGUSR1 every connection, the idle ones too, has to get it once more; prints what
// became of them as JSON and ends.
//
//   node http-live.mjs ADDRESS PORT PATH IDLE BUSY INTERVAL-MS

import { connect } from "node:net";
import { performance } from "node:perf_hooks";

const [host, port, path, idleCount, busyCount, interval] = process.argv.slice(2);
const patience = 20_000;
const request = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;

class Connection {
  requests = 0;
  longest = 0;
  lost = undefined;
  #have = "";
  #done = undefined;

  constructor() {
    this.socket = connect({ host, port: Number(port), noDelay: true });
    this.socket.setEncoding("latin1");
    this.socket.on("data", (text) => {
      this.#have += text;
      const header = this.#have.indexOf("\r\n\r\n");
      const length = Number(/Content-Length: (\d+)/i.exec(this.#have)?.[1]);
      if (header >= 0 && this.#have.length === header + 4 + length) this.#done?.();
    });
    this.socket.on("error", (error) => this.#lose(error.code));
    this.socket.on("close", () => this.#lose("closed"));
  }

  #lose(why) {
    this.lost ??= why;
    this.#done?.();
  }

  /** Asks once; false when the connection is lost. */
  async ask() {
    if (this.lost) return false;
    const begin = performance.now();
    this.#have = "";
    const timer = setTimeout(() => this.#lose("no answer"), patience);
    await new Promise((resolve) => {
      this.#done = resolve;
      this.socket.write(request);
    });
    clearTimeout(timer);
    this.#done = undefined;
    if (this.lost) return false;
    this.requests++;
    this.longest = Math.max(this.longest, performance.now() - begin);
    return true;
  }
}

const make = (count) => Array.from({ length: Number(count) }, () => new Connection());
const [idle, busy] = [make(idleCount), make(busyCount)];
const all = [...idle, ...busy];
let ending = false;

async function keepBusy(connection) {
  while (!ending && (await connection.ask()))
    await new Promise((resolve) => setTimeout(resolve, Number(interval)));
}

const sum = (connections) => ({
  connections: connections.length,
  lost: connections.filter(({ lost }) => lost).length,
  why: [...new Set(connections.flatMap(({ lost }) => lost ?? []))],
  requests: connections.reduce((total, { requests }) => total + requests, 0),
  longestMs: Math.round(Math.max(0, ...connections.map(({ longest }) => longest))),
});

await Promise.all(all.map((connection) => connection.ask()));
const loops = busy.map(keepBusy);
process.on("SIGUSR1", async () => {
  ending = true;
  await Promise.all(loops);
  await Promise.all(all.map((connection) => connection.ask()));
  console.log(JSON.stringify({ idle: sum(idle), busy: sum(busy) }));
  process.exit(0);
});
console.log("ready");
