// One host of the benchmark: an engine, the same servers in published containers and beside Docker's bridge
// (--network host), and a client that is joined to it directly.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  addresses,
  type Background,
  type Container,
  createDirectLab,
  type DirectLab,
  type EngineKind,
  type Fairway,
  type Namespace,
  root,
  run,
} from "../test/lab/lib/index.js";

/** Where the client finds the host, and the host the client. */
export const hostAddress = addresses.host;
export const clientAddress = addresses.hostGateway;

/** One core for who asks, another for who answers: or the scheduler's placement decides the figure. */
export const clientCore = "0";
export const serverCore = "1";

/** Where a server is: in a container, or in the host's own namespace. */
export type Side = "container" | "host";

/** What a workload needs to know of the servers on one side. */
export interface Seat {
  readonly stage: Stage;
  /** Ports of the host. */
  readonly ports: { readonly http: number; readonly iperf: number; readonly udp: number };
  /** nginx's worker. */
  readonly httpPid: number;
  /** Counts what arrives at ports.udp. */
  readonly counter: Background;
  /** Where connections to the outside are opened. */
  readonly namespace: Namespace;
}

/** Ports of the client's servers. */
export const clientPorts = { iperf: 5401, udp: 7002 } as const;

/** The containers that fairway has to know before it is measured. */
const containers = ["web", "bulk", "sink"] as const;

/** How a stage is set up. */
export interface StageOptions {
  readonly kind: EngineKind;
  /** Every namespace handles its packets on its own core, as on two machines; else on the core that sent them. */
  readonly ownCores: boolean;
}

export class Stage {
  #fairway: Fairway | undefined;
  #seats: Readonly<Record<Side, Seat>> | undefined;

  private constructor(
    readonly lab: DirectLab,
    /** Counts what arrives at clientPorts.udp. */
    readonly clientCounter: Background,
    /** The C programs of bench/, compiled. */
    readonly tools: Tools,
  ) {}

  /** Brings everything up; the caller disposes of the lab. */
  static async create(options: StageOptions): Promise<Stage> {
    const lab = await createDirectLab({ kind: options.kind });
    try {
      return await Stage.#setUp(lab, options);
    } catch (error) {
      await lab.dispose();
      throw error;
    }
  }

  static async #setUp(lab: DirectLab, { ownCores }: StageOptions): Promise<Stage> {
    // A round leaves tens of thousands of closed connections; they must not fill the table of the next one, and linger for as
    // long on each path: fairway gives those that it made the second of these times.
    for (const state of ["time_wait", "close"])
      await lab.host.sysctl(`net.netfilter.nf_conntrack_tcp_timeout_${state}`, 5);
    await lab.client.sysctl("net.ipv4.ip_local_port_range", "2000 65000");
    await lab.client.sysctl("net.ipv4.tcp_tw_reuse", 1);
    const { engine } = lab;
    const web = await engine.run("nginx", { name: "web", publish: ["8080:80"] });
    const bulk = await engine.run("iperf3", { name: "bulk", publish: ["5301:5201"] });
    const sink = await engine.run("busybox", { name: "sink", publish: ["7000:7000/udp"] });
    const webHost = await engine.run("nginx", { name: "web-host", network: "host" });
    const bulkHost = await engine.run("iperf3", { name: "bulk-host", network: "host" });
    // The default may be BBR, which paces by what it measured: on two cores that is the scheduler's noise.
    for (const namespace of [lab.client, lab.host, web.namespace, bulk.namespace, sink.namespace])
      await namespace.sysctl("net.ipv4.tcp_congestion_control", "reno");
    await steer(lab.client, ownCores ? clientCore : undefined);
    await steer(lab.host, ownCores ? serverCore : undefined);
    for (const container of [bulk, bulkHost]) await pin(container);
    const tools = await compile(lab);
    const start = async (namespace: Namespace, core: string, command: string[], ready: RegExp) => {
      const child = namespace.spawn(["taskset", "-c", core, ...command], { disposers: lab.disposers });
      await child.waitFor(ready);
      return child;
    };
    const count = (namespace: Namespace, core: string, port: number) =>
      start(namespace, core, [tools["udp-count"], `${port}`], /ready/);
    const iperf = ["iperf3", "--server", "--forceflush", "-p", `${clientPorts.iperf}`];
    await start(lab.client, clientCore, iperf, /listening/);
    const stage = new Stage(lab, await count(lab.client, clientCore, clientPorts.udp), tools);
    stage.#seats = {
      container: {
        stage,
        ports: { http: 8080, iperf: 5301, udp: 7000 },
        httpPid: await pin(web),
        counter: await count(sink.namespace, serverCore, 7000),
        namespace: bulk.namespace,
      },
      host: {
        stage,
        ports: { http: 80, iperf: 5201, udp: 7001 },
        httpPid: await pin(webHost),
        counter: await count(lab.host, serverCore, 7001),
        namespace: lab.host,
      },
    };
    return stage;
  }

  seat(side: Side): Seat {
    if (!this.#seats) throw new Error("the stage is not set up");
    return this.#seats[side];
  }

  /** Starts fairway on it and waits until it forwards. */
  async startFairway(): Promise<Fairway> {
    this.#fairway = await this.lab.fairway();
    for (const name of containers) await this.#fairway.knows(name);
    return this.#fairway;
  }

  /** The share of the containers' packets that took the fast path while something ran; undefined without fairway. */
  async fastShare(traffic: () => Promise<unknown>): Promise<number | undefined> {
    const before = await this.#counted();
    await traffic();
    const after = await this.#counted();
    if (!before || !after) return undefined;
    const fast = after.fast - before.fast;
    return fast / (fast + after.slow - before.slow);
  }

  async #counted(): Promise<{ fast: number; slow: number } | undefined> {
    const metrics = await this.#fairway?.metrics();
    if (!metrics) return undefined;
    const sum = (path: string) =>
      metrics.sum("fairway_endpoint_receive_packets_total", { path }) +
      metrics.sum("fairway_endpoint_transmit_packets_total", { path });
    return { fast: sum("fast"), slow: sum("slow") };
  }
}

const toolNames = ["udp-count", "udp-send", "udp-frames", "metered", "http-latency"] as const;

/** Path by name. */
export type Tools = Readonly<Record<(typeof toolNames)[number], string>>;

/** Compiles the C programs into the lab's directory. */
export async function compile(lab: DirectLab): Promise<Tools> {
  const paths = toolNames.map(async (name) => {
    await run(["cc", "-O2", "-Wall", "-o", join(lab.dir, name), join(root, "bench", `${name}.c`)]);
    return [name, join(lab.dir, name)] as const;
  });
  return Object.fromEntries(await Promise.all(paths)) as Tools;
}

/**
 * Has a namespace's packets handled on one core from where they arrive (receive packet steering), as an interrupt of its own
 * would; without a core they are handled where the sender runs.
 */
async function steer(namespace: Namespace, core: string | undefined): Promise<void> {
  const mask = core === undefined ? "0" : (1 << Number(core)).toString(16);
  // /sys shows the namespace of whoever mounted it.
  const script = `mount -t sysfs sysfs /sys && mount -o remount,rw /sys && echo ${mask} > /sys/class/net/eth0/queues/rx-0/rps_cpus`;
  await namespace.exec(["unshare", "-m", "sh", "-c", script]);
}

/** Puts every process of a container on the servers' core; the last one's process id. */
async function pin(container: Container): Promise<number> {
  const pids = [container.pid];
  for (const pid of pids) {
    await run(["taskset", "-acp", serverCore, `${pid}`]);
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
    pids.push(...children.split(" ").filter(Boolean).map(Number));
  }
  return pids.at(-1) ?? container.pid;
}
