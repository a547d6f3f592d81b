// Questions about the network whose answers must be the same with fairway as with the engine alone.

import { join } from "node:path";
import type { DownloadAnswer, TcpAnswer, UdpAnswer } from "./answers.js";
import { addresses, agent, type Container, type Lab, type Namespace, run } from "./lib/index.js";

/** What the probes find in their lab. */
export interface ProbePlace {
  readonly lab: Lab;
  /** Echoes on UDP and TCP 7000, published as 7000; ports 33434 to 33440 UDP published, nothing there. */
  readonly target: Container;
  /** On the same network as the target. */
  readonly other: Container;
  /** The compiled test/lab/agents/ip-options.c. */
  readonly ipOptions: string;
}

/** Compiles the one agent that is in C. */
export async function buildIpOptions(lab: Lab): Promise<string> {
  const out = join(lab.dir, "ip-options");
  await run(["cc", "-O1", "-Wall", "-o", out, agent("ip-options.c")]);
  return out;
}

export const udp = async (from: Namespace, to: string, port: number, size: number) => {
  const { received, answers, errors } = await from.ask<UdpAnswer>("udp.mjs", [to, port, 3, 20, size]);
  // Not the source port, which differs each time.
  const seen = [...new Set(answers.map((answer) => answer.replace(/ \d+ /, " ")))];
  return { received, seen, errors };
};

/** What is lost on the way to knowing the path's MTU is sent again, with the engine alone too, and each time after twice as long. */
export const patience = 20_000;

export const tcp = async (from: Namespace, to: string, port: number, timeoutMs = 5000) => {
  const { source, ...rest } = await from.ask<TcpAnswer>("tcp.mjs", [to, port, 300_000, timeoutMs]);
  return { ...rest, source: source?.split(" ")[0] };
};

/** "3 of 3" and the TTL that the answers came with. */
export const ping = async (from: Namespace, to: string, size = 56, ttl = 64) => {
  const command = ["busybox", "ping", "-c", "3", "-i", "0.1", "-W", "1", "-s", `${size}`, "-t", `${ttl}`, to];
  const { stdout } = await from.exec(command, { mayFail: true });
  const ttls = new Set([...stdout.matchAll(/ttl=(\d+)/g)].map((found) => found[1]));
  return `${/(\d+) packets received/.exec(stdout)?.[1]} of 3, ttl ${[...ttls].join(",")}`;
};

/** The hops, one address each. */
export const traceroute = async (from: Namespace, to: string, ...args: string[]) => {
  const command = ["busybox", "traceroute", "-n", "-q", "1", "-w", "1", "-m", "6", ...args, to];
  const { stdout } = await from.exec(command, { mayFail: true, timeout: 20_000 });
  return [...stdout.matchAll(/^ *\d+ +(\S+)/gm)].map((found) => found[1]);
};

/** The path MTU that a namespace has learned towards an address. */
export const learnedMtu = async (from: Namespace, to: string) => {
  const [route] = await from.ip<{ metrics?: { mtu?: number }[] }[]>("route", "get", to);
  return route?.metrics?.[0]?.mtu;
};

/**
 * How large what the router sends there may be. By its route: a device with a small MTU also drops what is longer and comes in, but
 * lets GSO packets through, so that an answer is lost as soon as a single segment of it is sent again.
 */
const setMtu = (lab: Lab, link: "client" | "internet", mtu: number) => {
  const [network, source] = {
    client: ["198.18.1.0/24", "198.18.1.1"],
    internet: ["198.18.3.0/24", "198.18.3.1"],
  }[link] as [string, string];
  const route = [network, "dev", link, "proto", "kernel", "scope", "link", "src", source, "mtu", `${mtu}`];
  return run(["ip", "-n", lab.router.name, "route", "replace", ...route]);
};

/** Every probe by its name. None changes anything that a later one could notice. */
export const probes: Readonly<Record<string, (place: ProbePlace) => Promise<unknown>>> = {
  "a fragmented datagram to a published port": ({ lab }) => udp(lab.client, addresses.host, 7000, 4000),
  "a fragmented datagram to the outside": ({ target }) =>
    udp(target.namespace, addresses.internet, 7000, 4000),
  "a fragmented datagram to a neighbour on the network": ({ target, other }) =>
    udp(other.namespace, target.address(), 7000, 4000),
  "an empty datagram": ({ lab }) => udp(lab.client, addresses.host, 7000, 0),
  "a datagram of one byte": ({ target }) => udp(target.namespace, addresses.internet, 7000, 1),
  "TCP to a published port": ({ lab }) => tcp(lab.client, addresses.host, 7000),
  "TCP to the outside": ({ target }) => tcp(target.namespace, addresses.internet, 7000),
  "TCP to a closed port outside": ({ target }) => tcp(target.namespace, addresses.internet, 7999),
  "TCP to a published port where nothing listens": ({ lab }) => tcp(lab.client, addresses.host, 7001),
  "UDP to a published port where nothing listens": ({ lab }) => udp(lab.client, addresses.host, 33434, 20),
  "UDP to a closed port outside": ({ target }) => udp(target.namespace, addresses.internet, 7999, 20),
  "UDP to a port that is not published": ({ lab }) => udp(lab.client, addresses.host, 7555, 20),
  "ping of the host from outside": ({ lab }) => ping(lab.client, addresses.host),
  "ping of the host by its neighbour": ({ lab }) => ping(lab.neighbour, addresses.host),
  "ping of the outside": ({ target }) => ping(target.namespace, addresses.internet),
  "large ping of the outside": ({ target }) => ping(target.namespace, addresses.internet, 4000),
  "ping of a container on the network": ({ target, other }) => ping(other.namespace, target.address()),
  "large ping of a container on the network": ({ target, other }) =>
    ping(other.namespace, target.address(), 4000),
  "ping with TTL 1 of a container on the network": ({ target, other }) =>
    ping(other.namespace, target.address(), 56, 1),
  "ping of a container by the host": ({ lab, target }) => ping(lab.host, target.address()),
  "ping of the network's gateway": ({ target }) => ping(target.namespace, target.gateway()),
  "traceroute to the outside": ({ target }) => traceroute(target.namespace, addresses.internet),
  "traceroute to a published port": ({ lab }) => traceroute(lab.client, addresses.host),
  "traceroute to a container on the network": ({ target, other }) =>
    traceroute(other.namespace, target.address()),
  "TCP between containers": ({ target, other }) => tcp(other.namespace, target.address(), 7000),
  "TCP to a container by the host": ({ lab, target }) => tcp(lab.host, target.address(), 7000),
  "UDP with IP options to a published port": async ({ lab, ipOptions }) =>
    sourceless(await options(lab.client, ipOptions, "udp")),
  "TCP with IP options to a published port": async ({ lab, ipOptions }) =>
    sourceless(await options(lab.client, ipOptions, "tcp")),
  "UDP with IP options to the outside": async ({ target, ipOptions }) =>
    sourceless(await options(target.namespace, ipOptions, "udp", addresses.internet)),
  "a download by a client behind a narrow link": async ({ lab, target }) => {
    await setMtu(lab, "client", 1300);
    try {
      const got = await lab.client.ask<DownloadAnswer>("download.mjs", [
        `http://${addresses.host}:8000/bytes/1000000`,
      ]);
      return { bytes: got.bytes, mtu: await learnedMtu(target.namespace, addresses.client) };
    } finally {
      await setMtu(lab, "client", 1500);
      await target.namespace.exec(["ip", "route", "flush", "cache"]);
    }
  },
  "an upload to a server behind a narrow link": async ({ lab, target }) => {
    await setMtu(lab, "internet", 1300);
    try {
      const sent = await tcp(target.namespace, addresses.internet, 7000, patience);
      return { ...sent, mtu: await learnedMtu(target.namespace, addresses.internet) };
    } finally {
      await setMtu(lab, "internet", 1500);
      await target.namespace.exec(["ip", "route", "flush", "cache"]);
    }
  },
};

const options = async (from: Namespace, program: string, protocol: string, to: string = addresses.host) =>
  (await from.exec([program, protocol, to, "7000"], { timeout: 15_000 })).stdout;

const sourceless = (answer: string) => answer.trim().replace(/^(\S+) \d+/, "$1");
