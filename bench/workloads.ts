// What is measured. Every workload returns one figure, more is better.

import { hostAddress, type Stage, type Variant } from "./stage.js";

/** One thing to measure. */
export interface Workload {
  readonly name: string;
  readonly unit: string;
  /** Runs it for some seconds. */
  measure(stage: Stage, variant: Variant, seconds: number): Promise<number>;
}

/** wrk's requests per second; an error is no measurement. */
async function wrk(stage: Stage, variant: Variant, seconds: number, ...more: string[]): Promise<number> {
  const url = `http://${hostAddress}:${stage.ports(variant).http}/page`;
  const said = await stage.asClient("wrk", "-t1", "-c16", `-d${seconds}s`, ...more, url);
  const figure = /Requests\/sec:\s+([\d.]+)/.exec(said)?.[1];
  if (figure === undefined || /Non-2xx|Socket errors/.test(said)) throw new Error(`wrk: ${said}`);
  return Number(figure);
}

async function iperf(stage: Stage, variant: Variant, seconds: number): Promise<number> {
  const port = `${stage.ports(variant).iperf}`;
  const said = await stage.asClient("iperf3", "-c", hostAddress, "-p", port, "-t", `${seconds}`, "--json");
  const result = JSON.parse(said) as { end: { sum_received: { bits_per_second: number } } };
  return result.end.sum_received.bits_per_second / 1e9;
}

/** Ethernet, IPv4 and UDP headers take 42 bytes of the frame. */
const smallestPayload = 60 - 42;

/** Packets that arrived, per second of sending. */
async function packets(stage: Stage, variant: Variant, seconds: number): Promise<number> {
  const counter = stage.counters[variant === "host" ? "host" : "container"];
  const count = async () => {
    const seen = counter.stdout.length;
    counter.kill("SIGUSR1");
    for (;;) {
      const found = /count (\d+)\n/.exec(counter.stdout.slice(seen));
      if (found) return Number(found[1]);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const port = `${stage.ports(variant).udp}`;
  const before = await count();
  const send = await stage.tool("udp-send");
  const [, took = Number.NaN] = (
    await stage.asClient(send, hostAddress, port, `${smallestPayload}`, `${seconds}`)
  )
    .split(" ")
    .map(Number);
  // The kernel's counter has 32 bits.
  return (((await count()) - before + 2 ** 32) % 2 ** 32) / took / 1e6;
}

/** All of them, in the order in which they are run and printed. */
export const workloads: readonly Workload[] = [
  {
    name: "nginx, a connection per request",
    unit: "k req/s",
    measure: async (stage, variant, seconds) =>
      (await wrk(stage, variant, seconds, "-H", "Connection: close")) / 1000,
  },
  {
    name: "nginx, keep-alive",
    unit: "k req/s",
    measure: async (stage, variant, seconds) => (await wrk(stage, variant, seconds)) / 1000,
  },
  { name: "TCP bulk", unit: "Gb/s", measure: iperf },
  { name: "UDP, 60-byte packets", unit: "Mpps", measure: packets },
];
