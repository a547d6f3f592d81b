// Where the churn takes place: networks of every kind, containers that stay and watch, and room for those that come and go.

import { join } from "node:path";
import { addresses, agent, type Background, type Container, type Lab, run } from "../lib/index.js";
import { Peer } from "../reachability/peer.js";

/** Where containers tell their names to, outside. */
export const outside = { port: 7100, http: 7101 } as const;

/** A network; its containers have addresses .10 and up of a /24. */
export interface Net {
  readonly name: string;
  /** "172.28.1": the first three bytes. */
  readonly prefix: string;
  /** Arguments of `docker network create`. */
  readonly args: readonly string[];
  /** Nothing of it reaches the outside, and nothing is published. */
  readonly internal: boolean;
}

const net = (name: string, third: number, args: readonly string[] = []): Net => ({
  name,
  prefix: `172.28.${third}`,
  args: ["--subnet", `172.28.${third}.0/24`, ...args],
  internal: args.includes("--internal"),
});

/** Those that are there all the time. */
export const nets = {
  a: net("a", 1, ["--ipv6", "--subnet", "fd00:28:1::/64"]),
  b: net("b", 2),
  shy: net("shy", 3, ["-o", "com.docker.network.bridge.enable_icc=false"]),
  vault: net("vault", 4, ["--internal"]),
} as const;
export const staticNets: readonly Net[] = Object.values(nets);

/** Those that come and go: so many at once at most, and a subnet is used again. */
export const passingNets: readonly Net[] = [10, 11, 12].map((third) => net(`passing-${third}`, third));

/** How many containers have room in a network, and how many ports there are to publish: few, so that all are used again soon. */
export const room = { addresses: 14, ports: 24 } as const;

const hostAddresses = (one: Net) =>
  Array.from({ length: room.addresses }, (_, i) => `${one.prefix}.${10 + i}`);
/** Of all networks, by network. */
export const addressPool: ReadonlyMap<Net, readonly string[]> = new Map(
  [...staticNets, ...passingNets].map((one) => [one, hostAddresses(one)]),
);
export const portPool: readonly number[] = Array.from({ length: room.ports }, (_, i) => 20_000 + i);

/** Who stays; "web-" ones are published. Addresses outside of the pools. */
export const stable = {
  "web-a": { net: nets.a, address: "172.28.1.200", port: 19_001 },
  "web-b": { net: nets.b, address: "172.28.2.200", port: 19_002 },
  "spy-a": { net: nets.a, address: "172.28.1.201", port: undefined },
  "spy-shy": { net: nets.shy, address: "172.28.3.201", port: undefined },
  "spy-vault": { net: nets.vault, address: "172.28.4.201", port: undefined },
} as const;
export type StableName = keyof typeof stable;
export const stableNames = Object.keys(stable) as StableName[];

/** The lab with those who stay in it. */
export interface World {
  readonly lab: Lab;
  /** Who can be asked to ask: spies, "client", "host". */
  readonly peers: ReadonlyMap<string, Peer>;
  readonly containers: ReadonlyMap<StableName, Container>;
  /** late-answers.mjs */
  readonly server: Background;
}

/** `docker run` of a container that serves its name. @param source a port that no other sends from */
export function runNamed(
  { engine, dir }: Lab,
  name: string,
  source: number,
  where: { net: Net; address: string; port: number | undefined },
): Promise<Container> {
  const { net: on, address, port } = where;
  return engine.run("busybox", {
    name,
    network: on.name,
    ip: address,
    publish: port === undefined ? [] : [`${port}:7000`, `${port}:7000/udp`],
    args: ["-v", `${join(dir, "named")}:/named:ro`],
    command: ["/named", name, `${source}`, addresses.internet, `${outside.port}`],
  });
}

/** Makes the networks, and starts who stays. */
export async function createWorld(lab: Lab): Promise<World> {
  const { engine, internet, disposers } = lab;
  await run(["cc", "-O1", "-Wall", "-static", "-o", join(lab.dir, "named"), agent("named.c")]);
  const server = internet.agent("late-answers.mjs", [outside.port, outside.http], disposers);
  await server.waitFor(/ready/);
  for (const { name, args } of staticNets) await engine.createNetwork(name, ...args);
  const containers = new Map<StableName, Container>();
  const peers = new Map<string, Peer>();
  for (const [i, name] of stableNames.entries()) {
    const container = await runNamed(lab, name, 9000 + i, stable[name]);
    containers.set(name, container);
    if (name.startsWith("spy-")) peers.set(name, await Peer.start(container.namespace, [], disposers));
  }
  for (const place of ["client", "host"] as const)
    peers.set(place, await Peer.start(lab[place], [], disposers));
  return { lab, peers, containers, server };
}
