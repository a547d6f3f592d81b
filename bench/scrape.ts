// What a scrape costs on a large host: the daemon's own reader, collectors and server over maps of the kernel's own (scraped-host.ts),
// asked over HTTP by another process. Nothing is attached and no engine runs; the time is the control plane's alone. Between two scrapes
// every container has had packets; `replaced` containers have gone and others have come.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import Table from "cli-table3";
import { quantileSorted } from "simple-statistics";
import { keepBuffersSmall } from "../src/cli/buffers.js";
import { keepHeapSmall } from "../src/cli/heap.js";
import { createMetrics } from "../src/metrics/metrics.js";
import { serveMetrics } from "../src/metrics/server.js";
import { possibleCpus } from "../src/native/index.js";
import { ScrapedHost } from "./scraped-host.js";

export interface ScrapeOptions {
  containers: number;
  portsEach: number;
  /** Containers that others take the place of before each scrape. */
  replaced: number;
  rounds: number;
}

export interface ScrapeResult extends ScrapeOptions {
  series: number;
  bytes: number;
  cpus: number;
  /** Of every scrape, ms: from asked to the last byte; CPU time of the process meanwhile; the longest time without a pause. */
  wall: number[];
  cpu: number[];
  held: number[];
  /** CPU time in `held`'s time, which a busy machine makes no longer. */
  heldCpu: number[];
  /** The least that each collector took, ms. */
  collectors: Record<string, number>;
  /** Of the process afterwards, bytes. */
  memory: { resident: number; heap: number; external: number };
}

/** Scrapes that are not counted: code is compiled, and each series is written for the first time. */
const WARM_UP = 5;

/** Measures `rounds` scrapes. */
export async function scrape(options: ScrapeOptions): Promise<ScrapeResult> {
  keepHeapSmall();
  keepBuffersSmall();
  const host = new ScrapedHost(options);
  try {
    const metrics = createMetrics({ source: host.source, version: "0", kernel: "0" });
    const server = await serveMetrics({
      address: { host: "127.0.0.1", port: 0 },
      scrape: metrics.scrape,
      contentType: metrics.contentType,
      targets: () => [],
      notReady: () => undefined,
    });
    const prometheus = startClient(server.address.port);
    try {
      return await measure(host, options, prometheus.get);
    } finally {
      prometheus.stop();
      await server.close();
    }
  } finally {
    host.close();
  }
}

async function measure(
  host: ScrapedHost,
  options: ScrapeOptions,
  get: (text: boolean) => Promise<Answer>,
): Promise<ScrapeResult> {
  const result: ScrapeResult = {
    ...options,
    series: 0,
    bytes: 0,
    cpus: possibleCpus(),
    wall: [],
    cpu: [],
    held: [],
    heldCpu: [],
    collectors: {},
    memory: { resident: 0, heap: 0, external: 0 },
  };
  for (let round = 0; round < WARM_UP + options.rounds; round++) {
    host.traffic(round);
    const place = (i: number) => (round * options.replaced + i) % options.containers;
    if (options.replaced > 0)
      host.replace(
        Array.from({ length: options.replaced }, (_, i) => place(i)),
        round + 1,
      );
    const watch = watchLoop();
    const before = process.cpuUsage();
    const { ms } = await get(false);
    const { user, system } = process.cpuUsage(before);
    const { held, heldCpu } = watch();
    if (round < WARM_UP) continue;
    result.wall.push(ms);
    result.cpu.push((user + system) / 1000);
    result.held.push(held);
    result.heldCpu.push(heldCpu);
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  result.memory = { resident: rss, heap: heapUsed, external };
  for (let round = 0; round < 10; round++) {
    const { text } = await get(true);
    result.bytes = Buffer.byteLength(text);
    result.series = text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).length;
    const took = text.matchAll(/^fairway_collector_duration_seconds\{collector="(\w+)"\} (\S+)$/gm);
    for (const [, name = "", seconds] of took)
      result.collectors[name] = Math.min(result.collectors[name] ?? Infinity, 1000 * Number(seconds));
  }
  return result;
}

/** As a table, for people. */
export function scrapeTable(result: ScrapeResult, colour: boolean): string {
  const table = new Table({
    head: ["a scrape", "least", "median", "p95", "most"],
    ...(colour ? {} : { style: { head: [], border: [] } }),
  });
  for (const [name, values] of Object.entries({
    "from asked to the last byte, ms": result.wall,
    "CPU time, ms": result.cpu,
    "longest without a pause, ms": result.held,
    "  of that CPU time, ms": result.heldCpu,
  })) {
    const sorted = [...values].sort((a, b) => a - b);
    table.push([name, ...[0, 0.5, 0.95, 1].map((part) => quantileSorted(sorted, part).toFixed(1))]);
  }
  const { memory, collectors } = result;
  const mb = (bytes: number) => Math.round(bytes / 1e6);
  const longest = Object.entries(collectors).sort(([, a], [, b]) => b - a);
  return [
    table.toString(),
    `${result.containers} containers with ${result.portsEach} published ports each, ${result.replaced} of them new at each scrape: ${result.series} series, ${(result.bytes / 1e6).toFixed(1)} MB; ${result.cpus} possible CPUs`,
    `memory: ${mb(memory.resident)} MB resident, ${mb(memory.heap)} MB of JavaScript, ${mb(memory.external)} MB beside it`,
    `collectors, least ms: ${longest
      .slice(0, 8)
      .map(([name, ms]) => `${name} ${ms.toFixed(1)}`)
      .join(", ")}`,
  ].join("\n");
}

/**
 * Looks at the event loop every millisecond.
 * @returns what ends it and tells the longest time, in ms, between two turns of the event loop, and the most CPU time in one
 */
function watchLoop(): () => { held: number; heldCpu: number } {
  let held = 0;
  let heldCpu = 0;
  let last = performance.now();
  let lastCpu = process.cpuUsage();
  const look = () => {
    const now = performance.now();
    const { user, system } = process.cpuUsage(lastCpu);
    held = Math.max(held, now - last);
    heldCpu = Math.max(heldCpu, (user + system) / 1000);
    last = now;
    lastCpu = process.cpuUsage();
  };
  const timer = setInterval(look, 1);
  return () => {
    clearInterval(timer);
    look();
    return { held, heldCpu };
  };
}

interface Answer {
  /** From asked to the last byte. */
  ms: number;
  /** Only where it was asked for. */
  text: string;
}

/** Another process that scrapes, as Prometheus would: one connection that is kept. */
function startClient(port: number): { get: (text: boolean) => Promise<Answer>; stop: () => void } {
  const program = `
    const { Agent, get } = require("node:http");
    const agent = new Agent({ keepAlive: true });
    require("node:readline").createInterface(process.stdin).on("line", (line) => {
      const start = performance.now();
      get({ port: ${port}, path: "/metrics", agent }, (answer) => {
        const pieces = [];
        answer.on("data", (piece) => pieces.push(piece));
        answer.on("end", () => {
          const ms = performance.now() - start;
          const text = line === "text" ? Buffer.concat(pieces).toString() : "";
          console.log(JSON.stringify({ ms, text }));
        });
      });
    });`;
  const child = spawn(process.execPath, ["-e", program], { stdio: ["pipe", "pipe", "inherit"] });
  const waiting: ((answer: Answer) => void)[] = [];
  createInterface(child.stdout).on("line", (line) => waiting.shift()?.(JSON.parse(line) as Answer));
  return {
    get: (text) =>
      new Promise((resolve) => {
        waiting.push(resolve);
        child.stdin.write(text ? "text\n" : "\n");
      }),
    stop: () => child.kill(),
  };
}
