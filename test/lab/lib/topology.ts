// The lab's hosts and the links between them.
//
//   client -- router -- internet        the router is also the gateway of the host's LAN,
//               |                       a bridge with the host and a neighbour on it
//          host, neighbour
//
// The direct topology leaves the router out, for benchmarks: client -- host.

import type { Disposers } from "./disposers.js";
import { createNamespace, joinByVeth, type Namespace } from "./namespace.js";
import { run } from "./process.js";

/** Addresses (198.18.0.0/15 is set aside for tests of networks). */
export const addresses = {
  client: "198.18.1.2",
  clientGateway: "198.18.1.1",
  host: "198.18.2.2",
  hostGateway: "198.18.2.1",
  neighbour: "198.18.2.3",
  internet: "198.18.3.2",
  internetGateway: "198.18.3.1",
} as const;

/** The same in IPv6 (2001:db8::/32 is set aside for documentation). */
export const addresses6 = {
  client: "2001:db8:1::2",
  clientGateway: "2001:db8:1::1",
  host: "2001:db8:2::2",
  hostGateway: "2001:db8:2::1",
  neighbour: "2001:db8:2::3",
  internet: "2001:db8:3::2",
  internetGateway: "2001:db8:3::1",
} as const satisfies Record<keyof typeof addresses, string>;

/** The namespaces of the full topology. */
export interface Hosts {
  /** An outside client, two hops away. */
  readonly client: Namespace;
  /** Where the engine and fairway run; its uplink is eth0. */
  readonly host: Namespace;
  /** Forwards between all of them. Devices: client, lan (bridge), internet. */
  readonly router: Namespace;
  /** A server on the internet. */
  readonly internet: Namespace;
  /** Another machine on the host's LAN. */
  readonly neighbour: Namespace;
}

const ip = (namespace: Namespace, ...args: string[]) => run(["ip", "-n", namespace.name, ...args]);

type Place = keyof typeof addresses;

/** Gives a device its addresses of both families, and the namespace its default routes. */
async function address(namespace: Namespace, device: string, own: Place, gateway?: Place): Promise<void> {
  await ip(namespace, "address", "add", `${addresses[own]}/24`, "dev", device);
  // Usable at once: nobody else has it.
  await ip(namespace, "address", "add", `${addresses6[own]}/64`, "dev", device, "nodad");
  await ip(namespace, "link", "set", device, "up");
  if (!gateway) return;
  await ip(namespace, "route", "add", "default", "via", addresses[gateway]);
  await ip(namespace, "route", "add", "default", "via", addresses6[gateway]);
}

/**
 * Forwards both families. ICMP errors are part of what is tested: no limit on how many are sent. (The host has IPv6's
 * forwarding on before its engine starts, as it has IPv4's: an engine that has to turn it on also closes FORWARD.)
 */
async function forward(namespace: Namespace): Promise<void> {
  await namespace.sysctl("net.ipv4.ip_forward", 1);
  await namespace.sysctl("net.ipv6.conf.all.forwarding", 1);
  await namespace.sysctl("net.ipv4.icmp_ratelimit", 0);
  await namespace.sysctl("net.ipv6.icmp.ratelimit", 0);
}

/** Makes the namespaces `<id>-client` and so on, with links, addresses and routes. */
export async function createHosts(id: string, disposers: Disposers): Promise<Hosts> {
  const make = (name: string) => createNamespace(`${id}-${name}`, disposers);
  const router = await make("router");
  const [client, host, internet, neighbour] = await Promise.all(
    ["client", "host", "internet", "neighbour"].map(make),
  );
  if (!client || !host || !internet || !neighbour) throw new Error("unreachable");

  await ip(router, "link", "add", "lan", "type", "bridge", "forward_delay", "0");
  await joinByVeth(router, "client", client, "eth0");
  await joinByVeth(router, "internet", internet, "eth0");
  await joinByVeth(router, "host", host, "eth0");
  await joinByVeth(router, "neighbour", neighbour, "eth0");
  await ip(router, "link", "set", "host", "master", "lan");
  await ip(router, "link", "set", "neighbour", "master", "lan");

  await address(router, "client", "clientGateway");
  await address(router, "lan", "hostGateway");
  await address(router, "internet", "internetGateway");
  await address(client, "eth0", "client", "clientGateway");
  await address(host, "eth0", "host", "hostGateway");
  await address(neighbour, "eth0", "neighbour", "hostGateway");
  await address(internet, "eth0", "internet", "internetGateway");

  // A neighbour that forwards for others would be a second router; only these two are.
  for (const namespace of [router, host]) await forward(namespace);
  return { client, host, router, internet, neighbour };
}

/** Makes only client and host, joined directly; the client is the host's gateway. */
export async function createDirectHosts(
  id: string,
  disposers: Disposers,
): Promise<Pick<Hosts, "client" | "host">> {
  const client = await createNamespace(`${id}-client`, disposers);
  const host = await createNamespace(`${id}-host`, disposers);
  await joinByVeth(client, "eth0", host, "eth0");
  await address(client, "eth0", "hostGateway");
  await address(host, "eth0", "host", "hostGateway");
  await forward(host);
  return { client, host };
}
