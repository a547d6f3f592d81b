// What is neither plain TCP nor plain UDP, in both families: questions whose answers must be the same with fairway as with the
// engine alone. probes.ts has IPv4's more common ones.

import type { QuicAnswer, UdpAnswer } from "./answers.js";
import type { Family } from "./families.js";
import { Capture, type Container, Disposers, type Lab, type Namespace, run, sleep } from "./lib/index.js";
import { learnedMtu, patience, ping, tcp, traceroute, udp } from "./probes.js";
import {
  echoRequest,
  hex,
  outOfOrder,
  protocol,
  type RawPacket,
  sctpInit,
  udpDatagram,
} from "./raw-packets.js";

/** What the probes find in their lab. serve.mjs is on ports 7000, quic.mjs on 7443 of target, narrow and the internet. */
export interface OddPlace {
  readonly lab: Lab;
  /** Ports 7000 (TCP, UDP), 7443 and 33434 to 33440 (UDP) published. */
  readonly target: Container;
  /** On the same network. */
  readonly other: Container;
  /** On a network with an MTU of 1300; UDP port 7000 published as 7200. */
  readonly narrow: Container;
  /** The compiled agents in C. */
  readonly programs: Readonly<Record<"raw-send" | "ip-options", string>>;
}

type Probe = (place: OddPlace, family: Family) => Promise<unknown>;
type Probes = Readonly<Record<string, Probe>>;

/** Probes that don't disturb each other. Those on raw sockets each have ports of their own. */
export const oddProbes: Probes = {
  "large datagrams at a published port, answered as large": ({ lab }, { addresses }) =>
    large(lab.client, addresses.host),
  "large datagrams to the outside, answered as large": ({ target }, { addresses }) =>
    large(target.namespace, addresses.internet),
  "large datagrams within a network, answered as large": ({ target, other }, family) =>
    large(other.namespace, family.of(target)),
  "large ping of the outside": ({ target }, { addresses }) =>
    ping(target.namespace, addresses.internet, 5000),
  "large ping of the host from outside": ({ lab }, { addresses }) => ping(lab.client, addresses.host, 5000),
  "large ping of a container on the network": ({ target, other }, family) =>
    ping(other.namespace, family.of(target), 5000),
  "traceroute to the outside": ({ target }, { addresses }) =>
    traceroute(target.namespace, addresses.internet),
  "traceroute to a published port": ({ lab }, { addresses }) => traceroute(lab.client, addresses.host),
  "traceroute by ICMP to the outside": (place, family) =>
    byIcmp(place, family, place.target.namespace, family.of(place.target), family.addresses.internet),
  "traceroute by ICMP to the host": (place, family) =>
    byIcmp(place, family, place.lab.client, family.addresses.client, family.addresses.host),
  "TTLs that end after one, two and three hops, on a flow to a published port": (place, family) => {
    const { client, host } = family.addresses;
    return expiring(place, family, place.lab.client, client, host, 5101);
  },
  "TTLs that end after one, two and three hops, on a flow to the outside": (place, family) =>
    expiring(place, family, place.target.namespace, family.of(place.target), family.addresses.internet, 5102),
  "the TTL at a published port": async (place, family) => {
    const { client, host } = family.addresses;
    const packets = flow(client, host, 5103, [64, 64, 17]);
    return seen(place.target.namespace, filter(family, "udp and src port 5103"), () =>
      rawSend(place, place.lab.client, packets),
    );
  },
  "the TTL outside": async (place, family) => {
    const packets = flow(family.of(place.target), family.addresses.internet, 5104, [64, 64, 17]);
    return seen(place.lab.internet, filter(family, "udp and src port 5104"), () =>
      rawSend(place, place.target.namespace, packets),
    );
  },
  "fragments out of order to a published port": (place, family) => {
    const { client, host } = family.addresses;
    return fragments(place, place.lab.client, family, client, host, 5105);
  },
  "fragments out of order to the outside": (place, family) =>
    fragments(
      place,
      place.target.namespace,
      family,
      family.of(place.target),
      family.addresses.internet,
      5106,
    ),
  "fragments out of order within a network": (place, family) =>
    fragments(place, place.other.namespace, family, family.of(place.other), family.of(place.target), 5107),
  "SCTP to the outside, and its answer": async (place, family) => {
    const inside = place.target.namespace;
    const { internet, host } = family.addresses;
    const packet = (source: string, destination: string, payload: Uint8Array) =>
      [{ source, destination, protocol: protocol.sctp, payload }] as const;
    const init = packet(family.of(place.target), internet, sctpInit(1, 5108, 5109, 0, 77));
    const answer = packet(internet, host, sctpInit(2, 5109, 5108, 77, 78));
    // This kernel has no SCTP of its own: it says so, in ICMP, as well.
    return {
      outside: await seen(place.lab.internet, filter(family, "sctp dst port 5109"), () =>
        rawSend(place, inside, init),
      ),
      inside: await seen(inside, filter(family, "sctp src port 5109"), () =>
        rawSend(place, place.lab.internet, answer),
      ),
    };
  },
  "SCTP within a network": (place, family) =>
    seen(place.target.namespace, filter(family, "sctp dst port 5111"), () =>
      rawSend(place, place.other.namespace, [
        {
          source: family.of(place.other),
          destination: family.of(place.target),
          protocol: protocol.sctp,
          payload: sctpInit(1, 5110, 5111, 0, 79),
        },
      ]),
    ),
  "a protocol without ports to the outside": (place, family) =>
    seen(place.lab.internet, filter(family, `proto ${protocol.esp}`), () =>
      rawSend(place, place.target.namespace, [
        {
          source: family.of(place.target),
          destination: family.addresses.internet,
          protocol: protocol.esp,
          payload: Buffer.alloc(40, 7),
        },
      ]),
    ),
};

/** What probes.ts has for IPv4. */
export const ipv6Probes: Probes = {
  "a fragmented datagram to a published port": ({ lab }, { addresses }) =>
    udp(lab.client, addresses.host, 7000, 4000),
  "a fragmented datagram to the outside": ({ target }, { addresses }) =>
    udp(target.namespace, addresses.internet, 7000, 4000),
  "TCP to a published port": ({ lab }, { addresses }) => tcp(lab.client, addresses.host, 7000),
  "TCP to the outside": ({ target }, { addresses }) => tcp(target.namespace, addresses.internet, 7000),
  "TCP to a closed port outside": ({ target }, { addresses }) =>
    tcp(target.namespace, addresses.internet, 7999),
  "TCP to a published port where nothing listens": ({ lab }, { addresses }) =>
    tcp(lab.client, addresses.host, 7001),
  "UDP to a published port where nothing listens": ({ lab }, { addresses }) =>
    udp(lab.client, addresses.host, 33434, 20),
  "UDP to a closed port outside": ({ target }, { addresses }) =>
    udp(target.namespace, addresses.internet, 7999, 20),
  "UDP to a port that is not published": ({ lab }, { addresses }) =>
    udp(lab.client, addresses.host, 7555, 20),
  "ping of the host by its neighbour": ({ lab }, { addresses }) => ping(lab.neighbour, addresses.host),
  "ping of the outside": ({ target }, { addresses }) => ping(target.namespace, addresses.internet),
  "ping of a container on the network": ({ target, other }, family) =>
    ping(other.namespace, family.of(target)),
  "ping of a container by the host": ({ lab, target }, family) => ping(lab.host, family.of(target)),
  "ping of the network's gateway": ({ target }, family) => ping(target.namespace, family.gateway(target)),
  "traceroute to a container on the network": ({ target, other }, family) =>
    traceroute(other.namespace, family.of(target)),
  "TCP between containers": ({ target, other }, family) => tcp(other.namespace, family.of(target), 7000),
  "TCP to a container by the host": ({ lab, target }, family) => tcp(lab.host, family.of(target), 7000),
  ...Object.fromEntries(
    ["hop-by-hop", "destination"].flatMap((header) =>
      ["udp", "tcp"].flatMap((transport): [string, Probe][] => [
        [
          `${transport} with ${header} options to a published port`,
          ({ lab, programs }, { addresses }) =>
            options(programs, lab.client, transport, addresses.host, header),
        ],
        [
          `${transport} with ${header} options to the outside`,
          ({ target, programs }, { addresses }) =>
            options(programs, target.namespace, transport, addresses.internet, header),
        ],
      ]),
    ),
  ),
};

/** Options that IPv6 has not; probes.ts has record route. */
export const ipv4Probes: Probes = Object.fromEntries(
  ["udp", "tcp"].flatMap((transport): [string, Probe][] => [
    [
      `${transport} with a router alert to a published port`,
      ({ lab, programs }, { addresses }) =>
        options(programs, lab.client, transport, addresses.host, "router-alert"),
    ],
    [
      `${transport} with a router alert to the outside`,
      ({ target, programs }, { addresses }) =>
        options(programs, target.namespace, transport, addresses.internet, "router-alert"),
    ],
  ]),
);

/** One after the other while the router's links are narrow: MTU 1300 both ways (narrowRouter). */
export const narrowRouterProbes: Probes = {
  "TCP both ways at a published port": async ({ lab, target }, family) => {
    const { client, host } = family.addresses;
    return {
      ...(await tcp(lab.client, host, 7000, patience)),
      client: await learnedMtu(lab.client, host),
      container: await learnedMtu(target.namespace, client),
    };
  },
  "TCP both ways to the outside": async ({ lab, target }, family) => {
    const { internet, host } = family.addresses;
    return {
      ...(await tcp(target.namespace, internet, 7000, patience)),
      container: await learnedMtu(target.namespace, internet),
      server: await learnedMtu(lab.internet, host),
    };
  },
};

/** As those, but with datagrams that may not be fragmented on their way: the first is lost, and its sender learns. */
export const narrowDatagramProbes: Probes = {
  "datagrams to a published port": async ({ lab }, { addresses }) => ({
    ...(await unfragmented(lab.client, addresses.host, 7000)),
    client: await learnedMtu(lab.client, addresses.host),
  }),
  // All of IPv6's are lost: the kernel puts a container's fragments together and sends on the whole.
  "datagrams to the outside": async ({ target }, { addresses }) => ({
    ...(await unfragmented(target.namespace, addresses.internet, 7000)),
    container: await learnedMtu(target.namespace, addresses.internet),
  }),
};

/** While the host's own route to the outside has an MTU of 1300. */
export const narrowHostProbes: Probes = {
  "TCP both ways at a published port": async ({ lab, target }, { addresses }) => ({
    ...(await tcp(lab.client, addresses.host, 7000, patience)),
    container: await learnedMtu(target.namespace, addresses.client),
  }),
  "TCP both ways to the outside": async ({ target }, { addresses }) => ({
    ...(await tcp(target.namespace, addresses.internet, 7000, patience)),
    container: await learnedMtu(target.namespace, addresses.internet),
  }),
};

/** With a container's network that is narrower than the way to it. */
export const narrowNetworkProbes: Probes = {
  "datagrams to a published port": async ({ lab }, { addresses }) => ({
    ...(await unfragmented(lab.neighbour, addresses.host, 7200)),
    sender: await learnedMtu(lab.neighbour, addresses.host),
  }),
};

/** Runs `work` while the router sends nothing larger than 1300 bytes, whichever way. */
export async function narrowRouter<T>({ lab }: OddPlace, work: () => Promise<T>): Promise<T> {
  const routes = [
    ["198.18.1.0/24", "client", "198.18.1.1"],
    ["198.18.2.0/24", "lan", "198.18.2.1"],
    ["198.18.3.0/24", "internet", "198.18.3.1"],
  ] as const;
  const ip = (...args: string[]) => run(["ip", "-n", lab.router.name, ...args]);
  const set = async (mtu: string[]) => {
    for (const [network, device, source] of routes) {
      const kernel = ["dev", device, "proto", "kernel"];
      await ip("route", "replace", network, ...kernel, "scope", "link", "src", source, ...mtu);
      const network6 = `2001:db8:${network.split(".")[2]}::/64`;
      await ip("-6", "route", "replace", network6, ...kernel, "metric", "256", ...mtu);
    }
  };
  await set(["mtu", "1300"]);
  try {
    return await work();
  } finally {
    await set([]);
  }
}

/** Runs `work` while the host sends nothing larger than 1300 bytes to beyond its LAN. */
export async function narrowHost<T>(
  { lab }: OddPlace,
  gateways: readonly string[],
  work: () => Promise<T>,
): Promise<T> {
  const set = async (...mtu: string[]) => {
    for (const gateway of gateways) {
      const route = ["default", "via", gateway, "dev", "eth0"];
      const metric = gateway.includes(":") ? ["metric", "1024"] : [];
      await run(["ip", "-n", lab.host.name, "route", "replace", ...route, ...metric, ...mtu]);
    }
  };
  await set("mtu", "1300");
  try {
    // What the host's routes say holds within a second.
    await sleep(1500);
    return await work();
  } finally {
    await set();
  }
}

/** Forgets every path MTU that was learned. */
export async function forgetMtus({ lab, target, narrow }: OddPlace): Promise<void> {
  for (const place of [lab.client, lab.host, lab.neighbour, lab.internet, target.namespace, narrow.namespace])
    for (const flag of ["-4", "-6"]) await place.exec(["ip", flag, "route", "flush", "cache"]);
}

const large = async (from: Namespace, to: string) => {
  const { sources, ...counts } = await from.ask<QuicAnswer>("quic.mjs", ["ask", to, 7443, 3, 4, 6000, 0]);
  return { ...counts, sources: [...new Set(sources.map((source) => source.split(" ")[0]))] };
};

/** Sends datagrams of 1400 bytes, which the kernel fragments only where it has learned that it must. */
const unfragmented = async (from: Namespace, to: string, port: number) => {
  const { received } = await from.ask<UdpAnswer>("udp.mjs", [to, port, 10, 50, 1400]);
  return { arrived: received > 0, lost: received < 10 };
};

const options = async (
  programs: OddPlace["programs"],
  from: Namespace,
  transport: string,
  to: string,
  option: string,
) => {
  const { stdout } = await from.exec([programs["ip-options"], transport, to, "7000", option]);
  return stdout.trim().replace(/^(\S+) \d+/, "$1"); // Without the source port.
};

/** tcpdump's filter for one family. */
const filter = ({ name }: Family, rest: string) => `${name === "IPv4" ? "ip" : "ip6"} and ${rest}`;

/** And for ICMP's "time exceeded" in it: about a ping, or a datagram from a port. */
const timeExceeded = ({ name }: Family, about: number | "ping") =>
  name === "IPv4"
    ? `icmp[0] == 11 and ${about === "ping" ? "icmp[17] == 1" : `icmp[28:2] == ${about}`}`
    : `icmp6 and ip6[40] == 3 and ${about === "ping" ? "ip6[54] == 58" : `ip6[88:2] == ${about}`}`;

/** What passes a namespace's eth0 while something is done, without what differs from time to time. */
async function seen(place: Namespace, what: string, work: () => Promise<unknown>): Promise<string[]> {
  const disposers = new Disposers();
  const capture = await Capture.start(place, { device: "eth0", filter: what, disposers });
  try {
    await work();
    await sleep(150);
    await capture.stop();
  } finally {
    await disposers.dispose();
  }
  return capture.packets.map((packet) =>
    packet
      .replace(/^\d+\.\d+ /, "")
      .replace(/, id \d+/g, "")
      .replace(/id 0x[\da-f]+/g, "id")
      .replace(/flowlabel 0x[\da-f]+, /g, "")
      // An interface that computes checksums itself is given packets without.
      .replace(/\[(bad )?\w+ (sum|cksum)[^\]]*\] ?/g, "")
      .replace(/\s+/g, " ")
      .trim(),
  );
}

/** Hops that answer a ping whose TTL ends at them. */
const byIcmp = (place: OddPlace, family: Family, from: Namespace, source: string, to: string) =>
  seen(from, timeExceeded(family, "ping"), () =>
    rawSend(
      place,
      from,
      [1, 2, 3].map((ttl) => echoRequest(source, to, ttl)),
    ),
  );

const rawSend = async (
  { programs }: OddPlace,
  from: Namespace,
  packets: readonly RawPacket[],
): Promise<void> => {
  const [first] = packets;
  if (first) await from.exec([programs["raw-send"], first.destination, ...packets.map(hex)]);
};

/** Datagrams to port 7000 by the same flow, a TTL each. */
const flow = (source: string, destination: string, port: number, ttls: readonly number[]): RawPacket[] =>
  ttls.map((ttl) => ({
    source,
    destination,
    ttl,
    protocol: protocol.udp,
    payload: udpDatagram(source, port, destination, 7000, Buffer.from("fairway ".repeat(5))),
  }));

/** "Time exceeded" for an open flow whose later datagrams have not TTL enough. */
const expiring = (
  place: OddPlace,
  family: Family,
  from: Namespace,
  source: string,
  destination: string,
  port: number,
) =>
  seen(from, timeExceeded(family, port), () =>
    rawSend(place, from, flow(source, destination, port, [64, 64, 64, 1, 2, 3])),
  );

/** The answer to a datagram that came in pieces: it tells the length that arrived. */
const fragments = async (
  place: OddPlace,
  from: Namespace,
  family: Family,
  source: string,
  destination: string,
  port: number,
) => {
  const payload = udpDatagram(source, port, destination, 7000, Buffer.alloc(1000, 5));
  const packets = outOfOrder({ source, destination, protocol: protocol.udp, payload }, port);
  return seen(from, filter(family, `udp and dst port ${port}`), () => rawSend(place, from, packets));
};
