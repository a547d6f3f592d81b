// What a packet costs when tables are large: 10,000 published ports and 100,000 live flows against 10 and 100. Three hosts stand
// side by side, two with fairway and one without. Each gets 60-byte UDP frames of its flows, every frame of a flow drawn at
// random, and everything happens on one core: sending, the host's receive path, the program, the container's stack and socket.
// What a packet costs is the CPU time of all that per packet that arrived, so that a busy machine counts less. Sending to nobody
// (another MAC: the frame is dropped where the host's IP stack begins) is measured too and taken off, which leaves what the
// host does with the packet. What of it is fairway's program is told by the kernel's own statistics (kernel.bpf_stats_enabled),
// in slices of their own.
//
// The ports are written into fairway's map as the control plane would have written them (and its daemon is stopped, which
// would take them out): an engine that publishes 10,000 ports needs minutes and as many iptables rules, which is why Docker's own
// path is measured with one port. The flows are real, conntrack entries included.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import Table from "cli-table3";
import { mapDefinitions } from "../src/generated/index.js";
import { BpfMap, BpfProgram } from "../src/native/index.js";
import type { EngineKind } from "../test/lab/lib/index.js";
import { type Spread, spread } from "./report.js";
import { clientAddress, clientCore, hostAddress, type Seat, Stage } from "./stage.js";
import { counted, deviceMac } from "./workloads.js";

/** What to run. */
export interface ScaleOptions {
  readonly kind: EngineKind;
  readonly rounds: number;
  readonly seconds: number;
  readonly progress: (text: string) => void;
}

type HostName = "small" | "large" | "docker";

/** How much each host has. */
export const sizes: Readonly<Record<HostName, { ports: number; flows: number }>> = {
  small: { ports: 10, flows: 100 },
  large: { ports: 10_000, flows: 100_000 },
  docker: { ports: 1, flows: 100_000 },
};

/** A host and how many of its flows the packets are of. */
interface Case {
  readonly name: string;
  readonly host: HostName;
  readonly busy: number;
  /** What it is compared with, by place in the list. */
  readonly base: number;
}

const cases: readonly Case[] = [
  { name: "fairway, 10 ports, 100 flows", host: "small", busy: 100, base: 0 },
  { name: "fairway, 10,000 ports, 100,000 flows, packets of 100", host: "large", busy: 100, base: 0 },
  { name: "fairway, 10,000 ports, 100,000 flows, packets of all", host: "large", busy: 100_000, base: 0 },
  { name: "docker, 1 port, 100,000 flows, packets of 100", host: "docker", busy: 100, base: 3 },
  { name: "docker, 1 port, 100,000 flows, packets of all", host: "docker", busy: 100_000, base: 3 },
];

/** What one slice measured, ns per packet. */
interface Slice {
  /** CPU time, sending included. */
  readonly packet: number;
  /** The same without what sending to nobody costs. */
  readonly host: number;
  readonly program: number;
}

/** What came out of one case. */
export interface ScaleRow {
  readonly name: string;
  readonly values: Readonly<Record<keyof Slice, Spread>>;
  /** Of the case that it is compared with, in the same round. */
  readonly ratios: Readonly<Record<keyof Slice, Spread>>;
}

/** What came out. */
export interface ScaleResult {
  readonly rounds: number;
  readonly seconds: number;
  /** Entries of the flow table at the end, two per flow. */
  readonly entries: Readonly<Record<"small" | "large", number>>;
  readonly rows: readonly ScaleRow[];
}

const firstPort = 20_000;
const sources = "198.18.100.1";
const statsPath = "/proc/sys/kernel/bpf_stats_enabled";

/** A host whose tables are filled. */
class FilledHost {
  private constructor(
    readonly seat: Seat,
    private readonly port: number,
    private readonly ports: number,
    private readonly mac: string,
    /** fairway's, where it runs. */
    private readonly pins: string | undefined,
    /** The kernel thread that packets may be left to. */
    private readonly softirqPid: string,
  ) {}

  static async create(stage: Stage, name: HostName): Promise<FilledHost> {
    const { lab } = stage;
    const { ports, flows } = sizes[name];
    const seat = stage.seat("container");
    await lab.host.sysctl("net.netfilter.nf_conntrack_udp_timeout", 600);
    // Nothing is behind these ports but fairway: no flow may begin on the kernel's path because the next hop's MAC is not known.
    const neighbour = [clientAddress, "lladdr", await deviceMac(lab.client), "dev", "eth0"];
    await lab.host.exec(["ip", "neigh", "replace", ...neighbour]);
    let pins: string | undefined;
    if (name !== "docker") {
      const fairway = await stage.startFairway();
      await fairway.stop();
      pins = join(lab.bpffs, "fairway");
      publish(join(pins, "maps/ports_ipv4"), seat.ports.udp, ports);
    }
    const { stdout } = await lab.host.exec(["pgrep", "-x", `ksoftirqd/${clientCore}`]);
    const port = pins === undefined ? seat.ports.udp : firstPort;
    const host = new FilledHost(seat, port, ports, await deviceMac(lab.host), pins, stdout.trim());
    await lab.client.exec(host.#sender(host.mac, flows, "once", 20_000), { timeout: 120_000 });
    return host;
  }

  #sender(mac: string, flows: number, mode: "once" | "random", much: number): string[] {
    const { tools } = this.seat.stage;
    const meter = ["taskset", "-c", clientCore, tools.metered, this.softirqPid];
    const what = [mac, sources, hostAddress, `${this.port}`, `${this.ports}`, `${flows}`];
    return [...meter, tools["udp-frames"], "eth0", ...what, mode, `${much}`];
  }

  /** Entries of the flow table. */
  entries(): number {
    if (this.pins === undefined) return 0;
    const map = BpfMap.openPinned(join(this.pins, "maps/flows_ipv4"));
    let count = 0;
    for (const _ of map.entries(4096)) count++;
    map.close();
    return count;
  }

  async #send(mac: string, flows: number, seconds: number): Promise<{ cpu: number; sent: number }> {
    const said = await this.seat.stage.lab.client.exec(this.#sender(mac, flows, "random", seconds));
    const [, own, thread] = /metered (\d+) (\d+)/.exec(said.stderr) ?? [];
    return { cpu: Number(own) + Number(thread), sent: Number(said.stdout.split(" ")[0]) };
  }

  /** ns of CPU time for a frame that the host does not take. */
  async nobody(flows: number, seconds: number): Promise<number> {
    const { cpu, sent } = await this.#send("02:00:00:00:00:99", flows, seconds);
    return cpu / sent;
  }

  /** ns of CPU time per packet that arrived. */
  async packet(flows: number, seconds: number): Promise<number> {
    const before = await counted(this.seat.counter);
    const { cpu } = await this.#send(this.mac, flows, seconds);
    // The kernel's counter has 32 bits.
    return cpu / (((await counted(this.seat.counter)) - before + 2 ** 32) % 2 ** 32);
  }

  /** ns of a run of fairway's program; NaN without it. */
  async program(flows: number, seconds: number): Promise<number> {
    if (this.pins === undefined) return Number.NaN;
    const program = BpfProgram.openPinned(join(this.pins, "programs/uplink_ingress"));
    const before = program.info;
    await this.#send(this.mac, flows, seconds);
    const after = program.info;
    program.close();
    return (after.runTimeNs - before.runTimeNs) / (after.runCount - before.runCount);
  }
}

/** Has ports from firstPort on lead where a published port leads. */
function publish(path: string, like: number, count: number): void {
  const { key, value } = mapDefinitions.ports_ipv4;
  const map = BpfMap.openPinned(path);
  const found = [...map.entries()].find((entry) => {
    const { port, proto } = key.decode(entry.key);
    return port === like && proto === 17;
  });
  if (!found) throw new Error(`port ${like} is not in ${path}`);
  const [original, target] = [key.decode(found.key), value.decode(found.value)];
  for (let port = firstPort; port < firstPort + count; port++)
    map.set(key.encode({ ...original, port }), value.encode({ ...target, number: 1 + port - firstPort }));
  map.close();
}

/** Brings the hosts up, measures, takes them down. */
export async function scale(options: ScaleOptions): Promise<ScaleResult> {
  const { kind, rounds, seconds, progress } = options;
  const stages: Stage[] = [];
  const statsBefore = await readFile(statsPath, "utf8");
  const bringUp = async (name: HostName) => {
    progress(`${name}: a host with ${sizes[name].ports} ports and ${sizes[name].flows} flows`);
    const stage = await Stage.create({ kind, ownCores: false });
    stages.push(stage);
    stage.lab.disposers.add("kernel.bpf_stats_enabled", () => writeFile(statsPath, statsBefore));
    return FilledHost.create(stage, name);
  };
  try {
    const small = await bringUp("small");
    const hosts = { small, large: await bringUp("large"), docker: await bringUp("docker") };
    const measured: Slice[][] = cases.map(() => []);
    for (const { host, busy } of cases) await hosts[host].packet(busy, 1);
    for (let round = 0; round < rounds; round++) {
      progress(`round ${round + 1} of ${rounds}`);
      for (const [step] of cases.entries()) {
        const at = (step + round) % cases.length;
        const [one, slices] = [cases[at], measured[at]];
        if (!one || !slices) throw new Error("unreachable");
        const host = hosts[one.host];
        // After the pause every flow is due for a refresh in conntrack at once; what is measured is traffic that goes on.
        await host.packet(one.busy, 1);
        const packet = await host.packet(one.busy, seconds);
        await writeFile(statsPath, "1");
        const program = await host.program(one.busy, seconds / 2);
        await writeFile(statsPath, statsBefore);
        const nobody = await host.nobody(one.busy, seconds / 2);
        slices.push({ packet, host: packet - nobody, program });
      }
    }
    const entries = { small: hosts.small.entries(), large: hosts.large.entries() };
    return { rounds, seconds, entries, rows: cases.map((_, at) => summarise(measured, at)) };
  } finally {
    for (const { lab } of stages.toReversed()) {
      // The engine looks through all of conntrack for each port of a container that it removes.
      await lab.host.exec(["conntrack", "-F"]);
      await lab.dispose();
    }
  }
}

function summarise(measured: readonly (readonly Slice[])[], at: number): ScaleRow {
  const one = cases[at];
  const [own, base] = [measured[at] ?? [], measured[one?.base ?? 0] ?? []];
  const of = (slices: readonly Slice[], what: keyof Slice) => slices.map((slice) => slice[what]);
  const ratio = (what: keyof Slice) => {
    const below = of(base, what);
    return spread(of(own, what).map((value, round) => value / (below[round] ?? Number.NaN)));
  };
  const all = <T>(make: (what: keyof Slice) => T) => ({
    packet: make("packet"),
    host: make("host"),
    program: make("program"),
  });
  return { name: one?.name ?? "", values: all((what) => spread(of(own, what))), ratios: all(ratio) };
}

/** The table for people. */
export function scaleTable({ rows, entries }: ScaleResult, colour: boolean): string {
  const columns = {
    packet: "CPU, ns per packet",
    host: "without sending, ns",
    program: "in the program, ns",
  };
  const names = Object.keys(columns) as (keyof typeof columns)[];
  const table = new Table({
    head: ["median", ...names.flatMap((name) => [columns[name], "ratio (quartiles)"])],
    ...(colour ? {} : { style: { head: [], border: [] } }),
  });
  const ratio = ({ median, lower, upper }: Spread) =>
    `${median.toFixed(3)} (${lower.toFixed(2)} to ${upper.toFixed(2)})`;
  for (const { name, values, ratios } of rows)
    table.push([
      name,
      ...names.flatMap((column) =>
        Number.isNaN(values[column].median)
          ? ["", ""]
          : [values[column].median.toFixed(0), ratio(ratios[column])],
      ),
    ]);
  return `${table}\nratios to the first row of the same path; flow table entries: ${entries.small} and ${entries.large}, two per flow`;
}
