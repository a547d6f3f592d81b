// How long the control plane takes on a host with many real containers: to bring up everything from nothing, to find that nothing is to be
// done, and from a container's start to its published port on the fast path.
//
// A pass' time is the daemon's own (its log). A start's is measured from outside: from the time that the engine gave its `start` event to the
// moment that the kernel has all that the fast path needs, asked for about once a millisecond: the port's entry, and the programs at
// the container's device. One connection to each at the end shows by its counter that packets go that way. Times on a busy
// machine say what the machine was busy with: CPU time of the daemon stands beside them.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { quantileSorted } from "simple-statistics";
import { mapDefinitions } from "../src/generated/index.js";
import { BpfMap } from "../src/native/index.js";
import { createDirectLab, type DirectLab, type Fairway, sleep, until } from "../test/lab/lib/index.js";
import { type Member, makeCrowd, removeCrowd, startMember, watchStarts } from "./crowd.js";
import { hostAddress } from "./stage.js";

/** What to run. */
export interface ReconcileOptions {
  /** Containers that run already. */
  readonly containers: number;
  /** How many are started one after the other to measure that. */
  readonly starts: number;
  /** How often everything is brought up from nothing. */
  readonly rounds: number;
  readonly progress: (text: string) => void;
}

/** One pass as the daemon logs it; ms. */
interface Pass {
  readonly trigger: string;
  readonly ms: number;
  readonly engineMs: number;
  readonly hostMs: number;
  readonly applyMs: number;
  readonly added?: number;
}

/** What came out; all times in ms. */
export interface ReconcileResult {
  readonly containers: number;
  readonly cold: readonly (Pass & { readonly readyMs: number; readonly cpuMs: number })[];
  readonly idle: readonly Pass[];
  /** CPU time of the daemon for one of them. */
  readonly idleCpuMs: number;
  /** What everything is looked at anew by, once a minute. */
  readonly resync: Pass;
  /** From each `start` event to the fast path; below 0: it was there before the engine said so. */
  readonly starts: readonly number[];
  /** Of the starts' connections: how many were counted on the fast path. */
  readonly fast: number;
  readonly residentMb: number;
}

const FIRST_PORT = 20_000;
const FRESH_PORT = 40_000;
const IPPROTO_TCP = 6;
const IDLE_PASSES = 20;
/** sysconf(_SC_CLK_TCK), the same everywhere. */
const TICK_MS = 10;

/** Brings the host up, measures, takes it down. */
export async function reconcile(options: ReconcileOptions): Promise<ReconcileResult> {
  const { containers, starts, rounds, progress } = options;
  // A docker-proxy for each port would be another thousand processes; fairway does the same with and without.
  const lab = await createDirectLab({ kind: "29", userlandProxy: false });
  try {
    const made = (what: string, of: number) => (count: number) => progress(`${what}: ${count} of ${of}`);
    const fresh = await makeCrowd(lab.engine, {
      prefix: "fresh",
      count: starts,
      firstPort: FRESH_PORT,
      start: false,
      progress: made("containers to be started", starts),
    });
    await makeCrowd(lab.engine, {
      prefix: "crowd",
      count: containers,
      firstPort: FIRST_PORT,
      start: true,
      progress: made("containers", containers),
    });
    const cold: ReconcileResult["cold"][number][] = [];
    let fairway: Fairway | undefined;
    for (let round = 0; round < rounds; round++) {
      progress(`from nothing, ${round + 1} of ${rounds}`);
      await fairway?.stop();
      await fairway?.cleanup();
      const began = performance.now();
      const running = await lab.fairway({ args: ["--log-level", "debug", "--log-format", "json"] });
      const readyMs = performance.now() - began;
      fairway = running;
      // Devices that came up meanwhile may have set it off as well as the start.
      const first = await until("the first pass in the log", () => passes(running)[0]);
      cold.push({ ...first, readyMs, cpuMs: cpuMs(running) });
    }
    if (fairway === undefined) throw new Error("not even one round");
    progress("passes with nothing to do");
    const idle = await idlePasses(lab, fairway);
    progress("the minute's pass");
    const resync = await nextPass(fairway, "resync");
    const latencies: number[] = [];
    for (const [at, member] of fresh.entries()) {
      if (at % 10 === 0) progress(`starts: ${at} of ${starts}`);
      latencies.push(await startLatency(lab, member));
    }
    return {
      containers,
      cold,
      ...idle,
      resync,
      starts: latencies,
      fast: await countFast(lab, fairway, fresh),
      residentMb: fairway.residentMb,
    };
  } finally {
    progress("taking it down");
    await removeCrowd(lab.engine).finally(() => lab.dispose());
  }
}

function passes(fairway: Fairway): Pass[] {
  return fairway.log.split("\n").flatMap((line) => {
    if (!line.includes('"reconciled')) return [];
    try {
      return [JSON.parse(line) as Pass];
    } catch {
      return []; // its end is not there yet
    }
  });
}

/** The next pass that has this among its reasons. */
async function nextPass(fairway: Fairway, reason: string): Promise<Pass> {
  const before = passes(fairway).length;
  const found = () =>
    passes(fairway)
      .slice(before)
      .find(({ trigger }) => trigger.split(",").includes(reason));
  return until(`a pass of ${reason}`, found, { timeout: 90_000 });
}

/** A device that is none of the engine's comes and goes. */
async function idlePasses(lab: DirectLab, fairway: Fairway): Promise<{ idle: Pass[]; idleCpuMs: number }> {
  // What the start has set off is over.
  await sleep(3_000);
  const before = { count: passes(fairway).length, cpu: cpuMs(fairway) };
  const device = ["fwl-idle0", "type", "veth", "peer", "name", "fwl-idle1"];
  for (let at = 0; at < IDLE_PASSES / 2; at++) {
    for (const command of [
      ["add", ...device],
      ["del", "fwl-idle0"],
    ]) {
      const pass = nextPass(fairway, "netlink");
      await lab.host.exec(["ip", "link", ...command]);
      await pass;
    }
  }
  const idle = passes(fairway).slice(before.count);
  const worked = idle.filter(({ added }) => added !== undefined);
  if (worked.length > 0) throw new Error(`there was something to do: ${JSON.stringify(worked[0])}`);
  return { idle, idleCpuMs: (cpuMs(fairway) - before.cpu) / idle.length };
}

/** ms from the engine's event to everything that the fast path needs. */
async function startLatency(lab: DirectLab, member: Member): Promise<number> {
  let startedAt: number | undefined;
  const stop = watchStarts(lab.engine, (id, at) => {
    if (id === member.id) startedAt = at;
  });
  // Subscribed by then; and the passes that the last one set off are over.
  await sleep(500);
  const starting = startMember(lab.engine, member.id);
  const servedAt = await until(
    `port ${member.port} on the fast path`,
    () => (isServed(lab, member.port) ? performance.timeOrigin + performance.now() : undefined),
    { every: 1, timeout: 30_000 },
  );
  await starting;
  const began = await until("the start's event", () => startedAt);
  stop();
  return servedAt - began;
}

function isServed(lab: DirectLab, port: number): boolean {
  const pins = join(lab.bpffs, "fairway");
  const { ports_ipv4: ports, endpoints } = mapDefinitions;
  const lookup = (name: string, key: Buffer) => {
    const map = BpfMap.openPinned(join(pins, "maps", name));
    const value = map.get(key);
    map.close();
    return value;
  };
  const entry = lookup("ports_ipv4", ports.key.encode({ address: "0.0.0.0", port, proto: IPPROTO_TCP }));
  if (entry === undefined) return false;
  const { slot, generation } = ports.value.decode(entry);
  const value = lookup("endpoints", endpoints.key.encode(slot));
  const endpoint = value === undefined ? undefined : endpoints.value.decode(value);
  if (endpoint?.generation !== generation) return false;
  return ["endpoint_ingress", "endpoint_egress"].every((program) =>
    existsSync(join(pins, "links", `${program}-${endpoint.ifindex}`)),
  );
}

/** How many of the containers have got a connection's first packet by the fast path. Nobody listens in them: it is refused. */
async function countFast(lab: DirectLab, fairway: Fairway, members: readonly Member[]): Promise<number> {
  const script = `
    const { connect } = require("node:net");
    for (const port of ${JSON.stringify(members.map(({ port }) => port))})
      connect({ host: ${JSON.stringify(hostAddress)}, port }).on("error", () => {}).setTimeout(5000, function () { this.destroy(); });`;
  await lab.client.exec([process.execPath, "-e", script]);
  const metrics = await fairway.metrics();
  const packets = (container: string) =>
    metrics.sum("fairway_endpoint_receive_packets_total", { container, path: "fast" });
  return members.filter(({ name }) => packets(name) > 0).length;
}

function cpuMs(fairway: Fairway): number {
  // The name in parentheses may have spaces.
  const fields = (readFileSync(`/proc/${fairway.process.pid}/stat`, "utf8").split(") ")[1] ?? "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** For people. */
export function reconcileText(result: ReconcileResult): string {
  const sorted = (values: readonly number[]) => [...values].sort((a, b) => a - b);
  const at = (values: readonly number[], share: number) => quantileSorted(sorted(values), share).toFixed(1);
  const line = (what: string, values: readonly number[]) =>
    `${what.padEnd(52)} median ${at(values, 0.5)}  p99 ${at(values, 0.99)}  (${values.length})`;
  const of = (list: readonly Pass[], key: "ms" | "engineMs" | "hostMs" | "applyMs") =>
    list.map((p) => p[key]);
  const { cold, idle } = result;
  return [
    `${result.containers} containers, each with a published port; ms`,
    line("from nothing: the first pass", of(cold, "ms")),
    line("  of that asking the engine", of(cold, "engineMs")),
    line("  looking at the host and planning", of(cold, "hostMs")),
    line("  writing maps and attaching", of(cold, "applyMs")),
    line(
      "  daemon started to ready",
      cold.map(({ readyMs }) => readyMs),
    ),
    line(
      "  CPU time of the daemon until then",
      cold.map(({ cpuMs: cpu }) => cpu),
    ),
    line("a pass with nothing to do", of(idle, "ms")),
    `${"  CPU time of the daemon for one".padEnd(52)} mean ${result.idleCpuMs.toFixed(1)}`,
    `${"the minute's pass".padEnd(52)} ${result.resync.ms}`,
    line("start event to the fast path", result.starts),
    `${"  connections counted there".padEnd(52)} ${result.fast} of ${result.starts.length}`,
    `${"resident memory of the daemon".padEnd(52)} ${result.residentMb.toFixed(0)} MB`,
  ].join("\n");
}
