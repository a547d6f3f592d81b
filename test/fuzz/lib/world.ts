// The two hosts' world: the same addresses, MACs, networks and published ports on both.

/** Where frames are sent from and captured. `outside` is the wire at the host's uplink: routers, neighbours, the internet. */
export const placeNames = ["outside", "a1", "a2", "b1", "b2", "x1", "x2", "i1", "i2"] as const;
export type Place = (typeof placeNames)[number];

export type Family = 4 | 6;

/** The host, and what is beyond its uplink. */
export const host = {
  mac: "02:00:00:00:01:02",
  /** Its addresses; the first is the one that masquerading takes. */
  addresses: { 4: ["198.18.2.2", "198.18.2.9", "198.18.4.2"], 6: ["2001:db8:2::2"] },
  prefix: { 4: 24, 6: 64 },
} as const;

export const gateway = {
  mac: "02:00:00:00:01:01",
  addresses: { 4: "198.18.2.1", 6: "2001:db8:2::1" },
} as const;

/** On the host's own link. */
export const neighbour = {
  mac: "02:00:00:00:01:03",
  addresses: { 4: "198.18.2.3", 6: "2001:db8:2::3" },
} as const;

/** Far away, behind the gateway. */
export const remote = {
  4: ["198.18.1.2", "198.18.1.3", "198.18.3.2", "198.18.3.3", "198.18.200.7"],
  6: ["2001:db8:1::2", "2001:db8:1::3", "2001:db8:3::2", "2001:db8:3::3"],
} as const;

export interface Network {
  readonly name: string;
  readonly bridge: string;
  readonly mac: string;
  readonly subnet: { readonly 4: string; readonly 6: string };
  readonly gateway: { readonly 4: string; readonly 6: string };
  readonly options: readonly string[];
}

const network = (name: string, number: number, ...options: string[]): Network => ({
  name,
  bridge: `fz-${name}`,
  mac: `02:00:00:00:1${number}:01`,
  subnet: { 4: `172.30.${number}.0/24`, 6: `2001:db8:a${number}::/64` },
  gateway: { 4: `172.30.${number}.1`, 6: `2001:db8:a${number}::1` },
  options,
});

export const networks = {
  a: network("a", 1),
  b: network("b", 2),
  x: network("x", 3, "--opt", "com.docker.network.bridge.enable_icc=false"),
  i: network("i", 4, "--internal"),
} as const;

/** A published port: of the host (on one of its addresses or all) and of the container. */
export interface Published {
  readonly proto: "tcp" | "udp";
  /** Undefined: all of the host's. */
  readonly address?: string;
  readonly hostPort: number;
  readonly port: number;
}

export interface Container {
  readonly place: Place;
  readonly network: Network;
  readonly mac: string;
  readonly addresses: { readonly 4: string; readonly 6: string };
  readonly published: readonly Published[];
}

const container = (
  place: Place,
  on: keyof typeof networks,
  number: number,
  published: readonly Published[] = [],
): Container => {
  const index = ["a", "b", "x", "i"].indexOf(on) + 1;
  return {
    place,
    network: networks[on],
    // What engines before 28 make of the IPv4 address; they can't be asked for another one by today's client.
    mac: `02:42:ac:1e:0${index}:0${number.toString(16)}`,
    addresses: { 4: `172.30.${index}.${number}`, 6: `2001:db8:a${index}::${number}` },
    published,
  };
};

const tcp = (hostPort: number, port: number, address?: string): Published => ({
  proto: "tcp",
  hostPort,
  port,
  ...(address && { address }),
});
const udp = (hostPort: number, port: number): Published => ({ proto: "udp", hostPort, port });

export const containers: readonly Container[] = [
  container("a1", "a", 11, [
    tcp(8080, 80),
    udp(5353, 53),
    tcp(8081, 81, "198.18.4.2"),
    ...[0, 1, 2, 3].map((i) => tcp(9000 + i, 9000 + i)),
  ]),
  container("a2", "a", 12, [tcp(8082, 80), udp(5354, 53), udp(9000, 9000)]),
  container("b1", "b", 11, [tcp(8083, 80), udp(5355, 53)]),
  container("b2", "b", 12),
  container("x1", "x", 11, [tcp(8084, 80)]),
  container("x2", "x", 12),
  container("i1", "i", 11),
  container("i2", "i", 12),
];

export const containerAt = new Map(containers.map((one) => [one.place, one]));

/** Whether the address is one of the host's own, a gateway's of a network included. */
export const isHostAddress = (text: string): boolean => hostAddresses.has(text);

const hostAddresses = new Set<string>([
  ...host.addresses[4],
  ...host.addresses[6],
  ...Object.values(networks).flatMap((one) => [one.gateway[4], one.gateway[6]]),
]);
