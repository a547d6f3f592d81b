// Connections as their two ends see them: NAT lies between, so the ends don't agree on addresses and ports.

import type { Random } from "./random.js";
import {
  type Container,
  containerAt,
  containers,
  type Family,
  gateway,
  host,
  neighbour,
  type Place,
  remote,
} from "./world.js";

/** One end: what it puts into the packets that it sends. */
export interface End {
  readonly place: Place;
  readonly mac: string;
  readonly nextMac: string;
  readonly address: string;
  readonly peer: string;
  readonly sport: number;
  readonly dport: number;
}

export type Proto = "tcp" | "udp" | "echo";

export interface Connection {
  readonly name: string;
  readonly family: Family;
  readonly proto: Proto;
  readonly client: End;
  /** Undefined: the host's kernel answers, or nobody. */
  readonly server?: End;
  /** True: its packets don't reach the other end, or not as such; what its ends send doesn't fit together. */
  readonly loose?: boolean;
}

/** A peer beyond the uplink: its address, and the MAC that its frames come from. */
export interface Outsider {
  readonly address: string;
  readonly mac: string;
}

export function outsider(random: Random, family: Family): Outsider {
  if (random.chance(0.15)) return { address: neighbour.addresses[family], mac: neighbour.mac };
  if (random.chance(0.05)) return { address: gateway.addresses[family], mac: gateway.mac };
  return { address: random.pick(remote[family]), mac: gateway.mac };
}

/** Ports of clients: few, so that they meet; some are published too. */
export function clientPort(random: Random): number {
  if (random.chance(0.1)) return random.pick([8080, 8082, 5353, 5354, 9000, 9001, 53, 80, 1]);
  if (random.chance(0.5)) return 40000 + random.below(24);
  return random.between(1024, 65535);
}

const serverPorts = [80, 443, 53, 8080, 5353, 22, 12345];

/** A container's address and MACs towards its gateway. */
const inside = (one: Container, family: Family) => ({
  place: one.place,
  mac: one.mac,
  nextMac: one.network.mac,
  address: one.addresses[family],
});

/** The ports that are published in a family. */
const reachable = (one: Container, family: Family) =>
  one.published.filter(({ address }) => family === 4 || address === undefined);

/** From outside to a published port. */
export function published(random: Random, family: Family): Connection {
  const server = random.pick(containers.filter((one) => one.published.length > 0));
  const port = random.pick(reachable(server, family));
  const client = outsider(random, family);
  const cport = clientPort(random);
  const address = port.address && random.chance(0.9) ? port.address : random.pick(host.addresses[family]);
  return {
    name: `published ${server.place}:${port.port}/${port.proto}`,
    family,
    proto: port.proto,
    client: {
      place: "outside",
      mac: client.mac,
      nextMac: host.mac,
      address: client.address,
      peer: address,
      sport: cport,
      dport: port.hostPort,
    },
    server: { ...inside(server, family), peer: client.address, sport: port.port, dport: cport },
  };
}

/** From a container to the outside. */
export function masqueraded(random: Random, family: Family, proto: Proto): Connection {
  const from = random.pick(containers);
  const to = outsider(random, family);
  const sport = clientPort(random);
  const dport = proto === "echo" ? sport : random.pick(serverPorts);
  return {
    name: `masqueraded ${from.place} ${proto}`,
    family,
    proto,
    client: { ...inside(from, family), peer: to.address, sport, dport },
    server: {
      place: "outside",
      mac: to.mac,
      nextMac: host.mac,
      address: to.address,
      peer: host.addresses[family][0],
      sport: dport,
      dport: sport,
    },
  };
}

/** Between containers of one network, by MAC. */
export function bridged(random: Random, family: Family, proto: Proto): Connection {
  const from = random.pick(containers);
  const to = random.pick(containers.filter((one) => one.network === from.network && one !== from));
  const sport = clientPort(random);
  const dport = proto === "echo" ? sport : random.pick(serverPorts);
  return {
    name: `bridged ${from.place} to ${to.place} ${proto}`,
    family,
    proto,
    client: { ...inside(from, family), nextMac: to.mac, peer: to.addresses[family], sport, dport },
    server: {
      ...inside(to, family),
      nextMac: from.mac,
      peer: from.addresses[family],
      sport: dport,
      dport: sport,
    },
  };
}

/** To a container's address through a router that shouldn't: from another network, or from outside. */
export function direct(random: Random, family: Family, proto: Proto): Connection {
  const to = random.pick(containers);
  const sport = clientPort(random);
  const dport = proto === "echo" ? sport : random.pick([80, 53, 81, 9000, 12345]);
  const others = containers.filter((one) => one.network !== to.network);
  const from = random.chance(0.5) ? random.pick(others) : undefined;
  const out = outsider(random, family);
  const client: End = from
    ? { ...inside(from, family), peer: to.addresses[family], sport, dport }
    : {
        place: "outside",
        mac: out.mac,
        nextMac: host.mac,
        address: out.address,
        peer: to.addresses[family],
        sport,
        dport,
      };
  return {
    loose: true,
    name: `direct ${from?.place ?? "outside"} to ${to.place} ${proto}`,
    family,
    proto,
    client,
    server: { ...inside(to, family), peer: client.address, sport: dport, dport: sport },
  };
}

/** From a container to a port that a container of another network publishes on the host. */
export function hairpin(random: Random, family: Family): Connection {
  const to = random.pick(containers.filter((one) => one.published.length > 0));
  const from = random.pick(containers.filter((one) => one.network !== to.network));
  const port = random.pick(reachable(to, family));
  const sport = clientPort(random);
  return {
    name: `hairpin ${from.place} to ${to.place}:${port.port}/${port.proto}`,
    family,
    proto: port.proto,
    client: {
      ...inside(from, family),
      peer: random.chance(0.3)
        ? from.network.gateway[family]
        : (port.address ?? random.pick(host.addresses[family])),
      sport,
      dport: port.hostPort,
    },
    server: { ...inside(to, family), peer: to.network.gateway[family], sport: port.port, dport: sport },
  };
}

/** To the host itself, to a port that nobody publishes; its kernel answers. */
export function toHost(random: Random, family: Family, proto: Proto): Connection {
  const sport = clientPort(random);
  const dport = proto === "echo" ? sport : random.pick([22, 81, 7777, 40001, 40002, 65535]);
  const container = random.chance(0.5) ? random.pick(containers) : undefined;
  const out = outsider(random, family);
  const own = random.pick(host.addresses[family]);
  const client: End = container
    ? {
        ...inside(container, family),
        peer: random.chance(0.5) ? container.network.gateway[family] : own,
        sport,
        dport,
      }
    : { place: "outside", mac: out.mac, nextMac: host.mac, address: out.address, peer: own, sport, dport };
  return { name: `${client.place} to host ${proto}`, family, proto, client };
}

export { containerAt };
