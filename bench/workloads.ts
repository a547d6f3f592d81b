// What is measured. A workload runs for some seconds and gives a figure for each of its measures.

import { type Background, type Namespace, sleep } from "../test/lab/lib/index.js";
import { clientAddress, clientCore, clientPorts, hostAddress, type Seat, serverCore } from "./stage.js";

/** A figure that a workload gives. */
export interface Measure {
  readonly name: string;
  readonly unit: string;
  readonly better: "more" | "less";
  /** What is asked for, of ratios by their name: the least (better: more) or the most (better: less). */
  readonly targets?: Readonly<Record<string, number>>;
}

/** One thing to run. */
export interface Workload {
  readonly name: string;
  readonly measures: readonly Measure[];
  /** The figures, in the order of the measures. */
  run(seat: Seat, seconds: number): Promise<number[]>;
}

const asClient = async (seat: Seat, ...command: string[]) =>
  seat.stage.lab.client.exec(["taskset", "-c", clientCore, ...command], { timeout: 120_000 });
const asServer = async (seat: Seat, ...command: string[]) =>
  seat.namespace.exec(["taskset", "-c", serverCore, ...command], { timeout: 120_000 });

/** wrk's requests per second, and the CPU time of client and server per request; an error is no measurement. */
async function wrk(seat: Seat, seconds: number, ...more: string[]): Promise<number[]> {
  const { tools } = seat.stage;
  const url = `http://${hostAddress}:${seat.ports.http}/page`;
  const command = ["wrk", "-t1", "-c16", `-d${seconds}s`, ...more, url];
  const said = await asClient(seat, tools.metered, `${seat.httpPid}`, ...command);
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(said.stdout)?.[1];
  const count = /(\d+) requests in/.exec(said.stdout)?.[1];
  const [, client, server] = /metered (\d+) (\d+)/.exec(said.stderr) ?? [];
  if (!rate || !count || !client || !server || /Non-2xx|Socket errors/.test(said.stdout))
    throw new Error(`wrk: ${said.stdout}${said.stderr}`);
  return [Number(rate) / 1e3, (Number(client) + Number(server)) / Number(count) / 1e3];
}

async function latency(seat: Seat, seconds: number): Promise<number[]> {
  const tool = seat.stage.tools["http-latency"];
  const { stdout } = await asClient(seat, tool, hostAddress, `${seat.ports.http}`, "/page", `${seconds}`);
  const [, p50 = Number.NaN, p99 = Number.NaN] = stdout.split(" ").map(Number);
  return [p50 / 1e3, p99 / 1e3];
}

function gigabits(said: string): number[] {
  const result = JSON.parse(said) as { end: { sum_received: { bits_per_second: number } } };
  return [result.end.sum_received.bits_per_second / 1e9];
}

const iperf = (address: string, port: number, seconds: number) =>
  ["iperf3", "-c", address, "-p", `${port}`, "-t", `${seconds}`, "--json"] as const;

/** What a udp-count has counted so far. */
export async function counted(counter: Background): Promise<number> {
  const seen = counter.stdout.length;
  counter.kill("SIGUSR1");
  for (let waited = 0; waited < 2000; waited++) {
    const found = /count (\d+)\n/.exec(counter.stdout.slice(seen));
    if (found) return Number(found[1]);
    await sleep(5);
  }
  throw new Error("udp-count does not answer");
}

/** Packets that arrived at a counter, in millions per second of sending. The sender prints packets and seconds. */
export async function arrived(counter: Background, send: () => Promise<{ stdout: string }>): Promise<number> {
  const before = await counted(counter);
  const [, took = Number.NaN] = (await send()).stdout.split(" ").map(Number);
  // The kernel's counter has 32 bits.
  return (((await counted(counter)) - before + 2 ** 32) % 2 ** 32) / took / 1e6;
}

/** Ethernet, IPv4 and UDP headers take 42 bytes of the frame. */
const smallestPayload = `${60 - 42}`;

/** The MAC of a namespace's end of the link. */
export async function deviceMac(namespace: Namespace): Promise<string> {
  const [link] = await namespace.ip<{ address: string }[]>("link", "show", "dev", "eth0");
  if (!link) throw new Error(`${namespace.name} has no eth0`);
  return link.address;
}

async function frames(seat: Seat, seconds: number): Promise<number[]> {
  const { udp } = seat.ports;
  const flow = [await deviceMac(seat.stage.lab.host), clientAddress, hostAddress, `${udp}`, "1", "1"];
  const command = [seat.stage.tools["udp-frames"], "eth0", ...flow, "random", `${seconds}`];
  return [await arrived(seat.counter, () => asClient(seat, ...command))];
}

async function datagrams(seat: Seat, seconds: number): Promise<number[]> {
  const command = [seat.stage.tools["udp-send"], hostAddress, `${seat.ports.udp}`, smallestPayload];
  return [await arrived(seat.counter, () => asClient(seat, ...command, `${seconds}`))];
}

async function datagramsOut(seat: Seat, seconds: number): Promise<number[]> {
  const command = [seat.stage.tools["udp-send"], clientAddress, `${clientPorts.udp}`, smallestPayload];
  return [await arrived(seat.stage.clientCounter, () => asServer(seat, ...command, `${seconds}`))];
}

/** All of them, in the order in which they are run and printed. */
export const workloads: readonly Workload[] = [
  {
    name: "connections",
    measures: [
      {
        name: "nginx, a connection per request",
        unit: "k req/s",
        better: "more",
        targets: { "fairway/host": 0.98 },
      },
      { name: "  CPU, client and server", unit: "us/req", better: "less" },
    ],
    run: (seat, seconds) => wrk(seat, seconds, "-H", "Connection: close"),
  },
  {
    name: "keep-alive",
    measures: [
      { name: "nginx, keep-alive", unit: "k req/s", better: "more", targets: { "fairway/host": 0.92 } },
      { name: "  CPU, client and server", unit: "us/req", better: "less" },
    ],
    run: (seat, seconds) => wrk(seat, seconds),
  },
  {
    name: "latency",
    measures: [
      { name: "nginx, one connection, p50", unit: "us", better: "less", targets: { "fairway/host": 1.05 } },
      { name: "nginx, one connection, p99", unit: "us", better: "less" },
    ],
    run: latency,
  },
  {
    name: "bulk",
    measures: [{ name: "TCP bulk in", unit: "Gb/s", better: "more", targets: { "fairway/host": 0.97 } }],
    run: async (seat, seconds) =>
      gigabits((await asClient(seat, ...iperf(hostAddress, seat.ports.iperf, seconds))).stdout),
  },
  {
    name: "bulk-out",
    measures: [{ name: "TCP bulk out, masqueraded", unit: "Gb/s", better: "more" }],
    run: async (seat, seconds) =>
      gigabits((await asServer(seat, ...iperf(clientAddress, clientPorts.iperf, seconds))).stdout),
  },
  {
    name: "udp",
    measures: [
      {
        name: "UDP in, 60 bytes, as from a wire",
        unit: "Mpps",
        better: "more",
        targets: { "fairway/host": 0.9, "fairway/docker": 1.8 },
      },
    ],
    run: frames,
  },
  {
    name: "udp-socket",
    measures: [
      {
        name: "UDP in, 60 bytes, from a socket",
        unit: "Mpps",
        better: "more",
      },
    ],
    run: datagrams,
  },
  {
    name: "udp-out",
    measures: [{ name: "UDP out, 60 bytes, masqueraded", unit: "Mpps", better: "more" }],
    run: datagramsOut,
  },
];
