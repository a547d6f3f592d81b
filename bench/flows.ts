// Many flows at once: whether an established connection is lost, and what they take of memory. A bounded generator opens UDP
// flows to a published port, one frame each; meanwhile TCP connections through another published port are held, some idle,
// some busy. Once with conntrack's table large enough, once with it as it is, and that with Docker's own path too.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import Table from "cli-table3";
import { type EngineKind, type Fairway, root, run, sleep, until } from "../test/lab/lib/index.js";
import { clientCore, hostAddress, Stage } from "./stage.js";
import { arrived, deviceMac } from "./workloads.js";

/** What to run. */
export interface FlowsOptions {
  readonly kind: EngineKind;
  readonly flows: number;
  /** Flows opened per second. */
  readonly rate: number;
  readonly progress: (text: string) => void;
}

/** What became of connections that were open before the flows came. */
export interface Held {
  readonly connections: number;
  readonly lost: number;
  readonly why: readonly string[];
  readonly requests: number;
  readonly longestMs: number;
}

/** One run. */
export interface FlowsRun {
  readonly path: "docker" | "fairway";
  readonly conntrackMax: number;
  readonly opened: number;
  /** Their packets that reached the container. */
  readonly arrived: number;
  readonly seconds: number;
  readonly conntrackEntries: number;
  readonly conntrackMB: number;
  readonly idle: Held;
  readonly busy: Held;
  readonly fairway?: {
    readonly daemonMB: { readonly before: number; readonly after: number };
    readonly mapsMB: number;
    readonly flowEntries: number;
    readonly flowEntriesMax: number;
    readonly evicted: number;
    /** Packets left to the kernel because conntrack took no entry. */
    readonly conntrackFailed: number;
    /** CPU time of the daemon, of the run's seconds. */
    readonly daemonCpu: number;
  };
}

const idleConnections = 200;
const busyConnections = 20;
const conntrackMaxPath = "/proc/sys/net/netfilter/nf_conntrack_max";
/** Of the generator's flows; the host's way back to them is its default route, the client. */
const sources = "198.18.100.1";

/** Runs all of it. */
export async function manyFlows(options: FlowsOptions): Promise<FlowsRun[]> {
  const { kind, flows, progress } = options;
  progress(`engine ${kind} and its containers`);
  const stage = await Stage.create({ kind, ownCores: true });
  const { lab } = stage;
  try {
    // The host's, whatever the namespace: there is one for all.
    const before = Number(await readFile(conntrackMaxPath, "utf8"));
    lab.disposers.add("nf_conntrack_max", () => writeFile(conntrackMaxPath, `${before}`));
    // Flows live for as long as the run.
    await lab.host.sysctl("net.netfilter.nf_conntrack_udp_timeout", 600);
    const enough = Math.max(before, 2 * flows);
    const small = Math.min(before, Math.floor(flows / 4));
    const runs: FlowsRun[] = [];
    const once = async (conntrackMax: number, fairway?: Fairway) => {
      await lab.host.exec(["conntrack", "-F"]);
      await writeFile(conntrackMaxPath, `${conntrackMax}`);
      progress(`${fairway ? "fairway" : "docker"}, nf_conntrack_max ${conntrackMax}: opening ${flows} flows`);
      runs.push(await openFlows(stage, options, conntrackMax, fairway));
    };
    await once(small);
    await lab.host.exec(["conntrack", "-F"]);
    const fairway = await stage.startFairway();
    await once(small, fairway);
    await once(enough, fairway);
    return runs;
  } finally {
    // The engine looks through all of conntrack for each port of a container that it removes.
    await lab.host.exec(["conntrack", "-F"]);
    await lab.dispose();
  }
}

async function openFlows(
  stage: Stage,
  { flows, rate }: FlowsOptions,
  conntrackMax: number,
  fairway: Fairway | undefined,
): Promise<FlowsRun> {
  const { client, host } = stage.lab;
  const seat = stage.seat("container");
  const agent = join(root, "bench", "http-live.mjs");
  const page = [hostAddress, `${seat.ports.http}`, "/page"];
  const counts = [`${idleConnections}`, `${busyConnections}`, "20"];
  const live = client.spawn([process.execPath, agent, ...page, ...counts]);
  try {
    await live.waitFor(/ready/);
    await sleep(2000);
    const pid = fairway?.process.pid;
    const before = pid ? await processUse(pid) : undefined;
    const slab = await conntrackSlab();
    const flow = [await deviceMac(host), sources, hostAddress, `${seat.ports.udp}`, "1", `${flows}`];
    const command = [
      "taskset",
      "-c",
      clientCore,
      stage.tools["udp-frames"],
      "eth0",
      ...flow,
      "once",
      `${rate}`,
    ];
    let opened = 0;
    let seconds = 0;
    const begin = Date.now();
    const perSecond = await arrived(seat.counter, async () => {
      const sent = await client.exec(command, { timeout: 300_000 });
      [opened = 0, seconds = 0] = sent.stdout.split(" ").map(Number);
      await sleep(500);
      return sent;
    });
    const conntrackEntries = Number(await host.sysctl("net.netfilter.nf_conntrack_count"));
    const conntrackMB = ((await conntrackSlab()) - slab) / 1e6;
    const after = pid ? await processUse(pid) : undefined;
    const daemonSeconds = (Date.now() - begin) / 1000;
    live.kill("SIGUSR1");
    const [said] = await live.waitFor(/\{.*\}/, { timeout: 60_000 });
    const held = JSON.parse(said) as { idle: Held; busy: Held };
    const result = {
      path: fairway ? ("fairway" as const) : ("docker" as const),
      conntrackMax,
      opened,
      arrived: Math.round(perSecond * seconds * 1e6),
      seconds,
      conntrackEntries,
      conntrackMB,
      ...held,
    };
    if (!fairway || !before || !after) return result;
    return {
      ...result,
      fairway: {
        daemonMB: { before: before.megabytes, after: after.megabytes },
        mapsMB: await mapsMemory(join(stage.lab.bpffs, "fairway", "maps")),
        daemonCpu: (after.cpuSeconds - before.cpuSeconds) / daemonSeconds,
        ...(await flowTable(fairway)),
      },
    };
  } finally {
    await live.stop();
  }
}

/** Memory and CPU time of a process. */
async function processUse(pid: number): Promise<{ megabytes: number; cpuSeconds: number }> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const stat = (await readFile(`/proc/${pid}/stat`, "utf8"))
    .replace(/^.*\) /s, "")
    .split(" ")
    .map(Number);
  const kilobytes = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
  return { megabytes: (kilobytes * 1024) / 1e6, cpuSeconds: ((stat[11] ?? 0) + (stat[12] ?? 0)) / 100 };
}

/** Bytes of all conntrack entries on the machine. */
async function conntrackSlab(): Promise<number> {
  const [, active = 0, size = 0] =
    /^nf_conntrack +(\d+) +\d+ +(\d+)/m.exec(await readFile("/proc/slabinfo", "utf8"))?.map(Number) ?? [];
  return active * size;
}

async function mapsMemory(directory: string): Promise<number> {
  const script = `for map in ${directory}/*; do bpftool -j map show pinned "$map"; echo; done`;
  const { stdout } = await run(["sh", "-c", script]);
  const bytes = stdout.matchAll(/"bytes_memlock":(\d+)/g);
  return [...bytes].reduce((sum, [, count]) => sum + Number(count), 0) / 1e6;
}

/** What the flow table is after the next sweep. */
async function flowTable(fairway: Fairway) {
  const read = async () => {
    const metrics = await fairway.metrics();
    return {
      flowEntries: metrics.sum("fairway_flows"),
      flowEntriesMax: metrics.sum("fairway_flows_max"),
      evicted: metrics.sum("fairway_flow_table_evicted_total"),
      conntrackFailed: metrics.sum("fairway_slow_path_packets_total", { reason: "conntrack_failed" }),
    };
  };
  const before = (await fairway.metrics()).sum("fairway_flow_table_inserted_total");
  await until(
    "the next sweep",
    async () => (await fairway.metrics()).sum("fairway_flow_table_inserted_total") !== before,
    { timeout: 15_000, every: 500 },
  ).catch(() => undefined);
  return read();
}

/** The table for people. */
export function flowsTable(runs: readonly FlowsRun[], colour: boolean): string {
  const table = new Table({
    head: ["", ...runs.map(({ path }) => path)],
    ...(colour ? {} : { style: { head: [], border: [] } }),
  });
  const row = (name: string, value: (run: FlowsRun) => string | number | undefined) =>
    table.push([name, ...runs.map((one) => value(one) ?? "")]);
  const held = ({ connections, lost, why, requests, longestMs }: Held) =>
    `${lost} of ${connections} lost${why.length > 0 ? ` (${why.join(", ")})` : ""}\n${requests} requests, longest ${longestMs} ms`;
  row("nf_conntrack_max", (one) => one.conntrackMax);
  row("flows opened", (one) => `${one.opened} in ${one.seconds.toFixed(1)} s`);
  row("packets that arrived", (one) => one.arrived);
  row("conntrack entries", (one) => one.conntrackEntries);
  row("conntrack memory, MB", (one) => one.conntrackMB.toFixed(0));
  row("idle TCP connections", (one) => held(one.idle));
  row("busy TCP connections", (one) => held(one.busy));
  row(
    "flow table's entries",
    ({ fairway }) => fairway && `${fairway.flowEntries} of ${fairway.flowEntriesMax}`,
  );
  row("evicted so far", ({ fairway }) => fairway?.evicted);
  row("conntrack took no entry, so far", ({ fairway }) => fairway?.conntrackFailed);
  row("maps, MB", ({ fairway }) => fairway?.mapsMB.toFixed(0));
  row(
    "daemon, MB before and after",
    ({ fairway }) => fairway && `${fairway.daemonMB.before.toFixed(0)}, ${fairway.daemonMB.after.toFixed(0)}`,
  );
  row("daemon, CPU", ({ fairway }) => fairway && `${(fairway.daemonCpu * 100).toFixed(1)} %`);
  return table.toString();
}
