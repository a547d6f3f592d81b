// What a scrape costs with real containers and flows: an engine 29 with that many containers and published ports, flows opened by real
// packets, and the daemon as it is run, scraped over HTTP from beside it. The engine writes no rules (mode replace: fairway's table has the
// ports), or ten thousand ports would take it hours; the metrics are the same.

import { quantileSorted } from "simple-statistics";
import { createDirectLab, type DirectLab, type Fairway, sleep, until } from "../test/lab/lib/index.js";
import { makeCrowd, removeCrowd } from "./crowd.js";
import { clientAddress, compile, hostAddress } from "./stage.js";
import { deviceMac } from "./workloads.js";

/** What to run. */
export interface LiveScrapeOptions {
  readonly containers: number;
  readonly portsEach: number;
  readonly flows: number;
  readonly rounds: number;
  readonly progress: (text: string) => void;
}

/** What came out; times in ms. */
export interface LiveScrapeResult {
  readonly containers: number;
  readonly ports: number;
  /** Entries of the flow table, two per flow. */
  readonly flowEntries: number;
  readonly series: number;
  readonly bytes: number;
  /** Of each scrape, from asked to the last byte: the first ones, while the daemon's code is still being compiled, and those after them. */
  readonly first: readonly number[];
  readonly wall: readonly number[];
  /** The longest that a collector held up the daemon, of each scrape after the first ones. */
  readonly held: readonly number[];
  /** The collector that it was, of each. */
  readonly heldBy: readonly string[];
  /** Of the daemon. */
  readonly residentMb: number;
  readonly heapMb: number;
  readonly externalMb: number;
}

const FIRST_PORT = 20_000;
/** Scrapes: eight minutes' at an interval of 15 s. */
const WARM_UP = 30;
/** From the end of a scrape to the next one. */
const PAUSE_MS = 500;
const RATE = 20_000;
const SOURCES = "198.18.100.1";
/** The daemon's passes after the start, and its caches, are over by then. */
const SETTLED_MS = 10_000;

/** Brings the host up, measures, takes it down. */
export async function scrapeLive(options: LiveScrapeOptions): Promise<LiveScrapeResult> {
  const { containers, portsEach, flows, rounds, progress } = options;
  const lab = await createDirectLab({
    kind: "29",
    userlandProxy: false,
    daemonJson: { iptables: false, ip6tables: false },
  });
  try {
    await makeCrowd(lab.engine, {
      prefix: "crowd",
      count: containers,
      firstPort: FIRST_PORT,
      ports: portsEach,
      proto: "udp",
      start: true,
      progress: (made) => progress(`containers: ${made} of ${containers}`),
    });
    // Flows live for as long as the run.
    await lab.host.sysctl("net.netfilter.nf_conntrack_udp_timeout", 3600);
    // None of them may begin on the kernel's path, because the next hop's MAC is not known, or it would stay there: nobody answers.
    const neighbour = [clientAddress, "lladdr", await deviceMac(lab.client), "dev", "eth0"];
    await lab.host.exec(["ip", "neigh", "replace", ...neighbour]);
    progress("fairway");
    const fairway = await lab.fairway({ args: ["--mode", "replace"] });
    progress(`${flows} flows`);
    await openFlows(lab, fairway, flows, containers * portsEach, progress);
    await sleep(SETTLED_MS);
    progress("scrapes");
    const { wall: first } = await scraped(lab, WARM_UP);
    const { wall, held, heldBy, text } = await scraped(lab, rounds);
    const sample = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
    return {
      containers,
      ports: sample("fairway_published_ports"),
      flowEntries: sample("fairway_flows"),
      series: text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).length,
      bytes: Buffer.byteLength(text),
      first,
      wall,
      held,
      heldBy,
      residentMb: fairway.residentMb,
      heapMb: sample("nodejs_heap_size_used_bytes") / 1e6,
      externalMb: sample("nodejs_external_memory_bytes") / 1e6,
    };
  } finally {
    progress("taking it down");
    // The engine looks through all of conntrack for each port of a container that it removes.
    await lab.host.exec(["conntrack", "-F"]);
    await removeCrowd(lab.engine).finally(() => lab.dispose());
  }
}

/** One UDP flow after the other, to the ports in turn, until fairway has counted them. Nobody listens: what counts is that they are there. */
async function openFlows(
  lab: DirectLab,
  fairway: Fairway,
  flows: number,
  ports: number,
  progress: (text: string) => void,
): Promise<void> {
  const tools = await compile(lab);
  const flow = [await deviceMac(lab.host), SOURCES, hostAddress, `${FIRST_PORT}`, `${ports}`, `${flows}`];
  const send = [tools["udp-frames"], "eth0", ...flow, "once", `${RATE}`];
  const swept = async () => (await fairway.metrics()).sum("fairway_flow_table_last_sweep_timestamp_seconds");
  await until(
    `${flows} flows`,
    async () => {
      await lab.client.exec(send, { timeout: 300_000 });
      const sent = Date.now() / 1000;
      await until("a sweep", async () => (await swept()) > sent + 1 || undefined, { timeout: 60_000 });
      const entries = (await fairway.metrics()).sum("fairway_flows");
      progress(`${entries} flow entries`);
      return entries >= 2 * flows || undefined;
    },
    { timeout: 300_000, every: 1_000 },
  );
}

interface Scrapes {
  wall: number[];
  held: number[];
  heldBy: string[];
  /** Of the last one. */
  text: string;
}

async function scraped(lab: DirectLab, rounds: number): Promise<Scrapes> {
  const { stdout } = await lab.host.exec([process.execPath, "-e", client(rounds)], { timeout: 600_000 });
  return JSON.parse(stdout) as Scrapes;
}

/** A program that scrapes in turn, as Prometheus would: one connection that is kept. Prints what came out as JSON. */
function client(rounds: number): string {
  return `
    const { Agent, get } = require("node:http");
    const agent = new Agent({ keepAlive: true });
    const wall = [], held = [], heldBy = [];
    let text = "";
    const scrape = () => {
      const start = performance.now();
      get({ host: "127.0.0.1", port: 9477, path: "/metrics", agent }, (answer) => {
        const pieces = [];
        answer.on("data", (piece) => pieces.push(piece));
        answer.on("end", () => {
          wall.push(performance.now() - start);
          text = Buffer.concat(pieces).toString();
          const all = [...text.matchAll(/^fairway_collector_held_seconds\\{collector="(.*)"\\} (\\S+)$/gm)];
          const [longest] = all.map(([, name, seconds]) => ({ name, ms: 1000 * seconds })).sort((a, b) => b.ms - a.ms);
          held.push(longest.ms);
          heldBy.push(longest.name);
          if (wall.length < ${rounds}) setTimeout(scrape, ${PAUSE_MS});
          else {
            agent.destroy();
            process.stdout.write(JSON.stringify({ wall, held, heldBy, text }));
          }
        });
      });
    };
    scrape();`;
}

/** For people. */
export function liveScrapeText(result: LiveScrapeResult): string {
  const line = (what: string, values: readonly number[]) => {
    const sorted = [...values].sort((a, b) => a - b);
    const at = (share: number) => quantileSorted(sorted, share).toFixed(1);
    return `${what.padEnd(48)} least ${at(0)}  median ${at(0.5)}  p95 ${at(0.95)}  most ${at(1)}`;
  };
  const { containers, ports, flowEntries, series, bytes } = result;
  return [
    `${containers} containers, ${ports} published ports, ${flowEntries} flow entries: ${series} series, ${(bytes / 1e6).toFixed(1)} MB; ms`,
    line("a scrape, from asked to the last byte", result.wall),
    line(`  the first ${result.first.length} of the daemon`, result.first),
    line("longest that a collector held up the daemon", result.held),
    `${"resident memory of the daemon".padEnd(48)} ${result.residentMb.toFixed(0)} MB (${result.heapMb.toFixed(0)} MB of JavaScript, ${result.externalMb.toFixed(0)} MB beside it)`,
  ].join("\n");
}
