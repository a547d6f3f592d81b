// The benchmark's host: one engine, the same servers in published containers and beside Docker's bridge (--network host).

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

/** Whose path the packets take. `host`: no container network at all, the server in the host's own namespace. */
export const variants = ["docker", "fairway", "host"] as const;
export type Variant = (typeof variants)[number];

/** The ports of the host at which a variant's servers are reached. */
export interface Ports {
  readonly http: number;
  readonly iperf: number;
  readonly udp: number;
}

const published: Ports = { http: 8080, iperf: 5301, udp: 7000 };
const direct: Ports = { http: 80, iperf: 5201, udp: 7001 };

/** One core for who asks, another for who answers: or the scheduler's placement decides the figure. */
const clientCore = "0";
const serverCore = "1";

/** Everything that a workload needs. */
export class Stage {
  #fairway: Fairway | undefined;

  private constructor(
    readonly lab: DirectLab,
    readonly counters: Readonly<Record<"container" | "host", Background>>,
    private readonly names: readonly string[],
  ) {}

  static async setUp(kind: EngineKind, lab: DirectLab): Promise<Stage> {
    // A round leaves tens of thousands of closed connections; they must not fill the table of the next one.
    await lab.host.sysctl("net.netfilter.nf_conntrack_tcp_timeout_time_wait", 5);
    await lab.client.sysctl("net.ipv4.ip_local_port_range", "2000 65000");
    await lab.client.sysctl("net.ipv4.tcp_tw_reuse", 1);
    const { engine } = lab;
    const containers = [
      await engine.run("nginx", { name: "web", publish: [`${published.http}:80`] }),
      await engine.run("iperf3", { name: "bulk", publish: [`${published.iperf}:5201`] }),
      await engine.run("busybox", { name: "sink", publish: [`${published.udp}:7000/udp`] }),
      await engine.run("nginx", { name: "web-host", network: "host" }),
      await engine.run("iperf3", { name: "bulk-host", network: "host" }),
    ];
    for (const container of containers) await pin(container);
    const sink = containers[2];
    if (!sink) throw new Error(`engine ${kind}: no sink`);
    const udpCount = await compile(lab, "udp-count");
    const count = async (namespace: Namespace, port: number) => {
      const command = ["taskset", "-c", serverCore, udpCount, `${port}`];
      const child = namespace.spawn(command, { disposers: lab.disposers });
      await child.waitFor(/ready/);
      return child;
    };
    const counters = {
      container: await count(sink.namespace, 7000),
      host: await count(lab.host, direct.udp),
    };
    return new Stage(lab, counters, ["web", "bulk", "sink"]);
  }

  /** Runs a program of the client, on the client's core. */
  async asClient(...command: string[]): Promise<string> {
    return (await this.lab.client.exec(["taskset", "-c", clientCore, ...command], { timeout: 120_000 }))
      .stdout;
  }

  /** A client's program in C, compiled. */
  tool(name: string): Promise<string> {
    return compile(this.lab, name);
  }

  ports(variant: Variant): Ports {
    return variant === "host" ? direct : published;
  }

  /** Attaches or removes fairway, as the variant wants it. */
  async become(variant: Variant): Promise<void> {
    if (variant === "fairway") {
      if (this.#fairway) return;
      this.#fairway = await this.lab.fairway();
      for (const name of this.names) await this.#fairway.knows(name);
    } else if (this.#fairway) {
      await this.#fairway.stop();
      await this.#fairway.cleanup();
      this.#fairway = undefined;
    }
  }

  /** Packets of the containers so far, as fairway counted them. */
  async counted(): Promise<{ fast: number; slow: number }> {
    const metrics = await this.#fairway?.metrics();
    const sum = (path: string) =>
      (["receive", "transmit"] as const).reduce(
        (total, direction) =>
          total + (metrics?.sum(`fairway_endpoint_${direction}_packets_total`, { path }) ?? 0),
        0,
      );
    return { fast: sum("fast"), slow: sum("slow") };
  }
}

/** Where the client finds the host. */
export const hostAddress = addresses.host;

async function compile(lab: DirectLab, name: string): Promise<string> {
  const program = join(lab.dir, name);
  await run(["cc", "-O2", "-Wall", "-o", `${program}.new`, join(root, "bench", `${name}.c`)]);
  await run(["mv", `${program}.new`, program]);
  return program;
}

/** Puts every process of a container on the servers' core. */
async function pin(container: Container): Promise<void> {
  const pids = [container.pid];
  for (const pid of pids) {
    await run(["taskset", "-acp", serverCore, `${pid}`]);
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
    pids.push(...children.split(" ").filter(Boolean).map(Number));
  }
}

/** Brings up the lab for benchmarks. */
export const createStage = async (kind: EngineKind): Promise<Stage> => {
  const lab = await createDirectLab({ kind });
  try {
    return await Stage.setUp(kind, lab);
  } catch (error) {
    await lab.dispose();
    throw error;
  }
};
