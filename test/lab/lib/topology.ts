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

async function address(namespace: Namespace, device: string, cidr: string, gateway?: string): Promise<void> {
  await ip(namespace, "address", "add", cidr, "dev", device);
  await ip(namespace, "link", "set", device, "up");
  if (gateway) await ip(namespace, "route", "add", "default", "via", gateway);
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

  await address(router, "client", `${addresses.clientGateway}/24`);
  await address(router, "lan", `${addresses.hostGateway}/24`);
  await address(router, "internet", `${addresses.internetGateway}/24`);
  await address(client, "eth0", `${addresses.client}/24`, addresses.clientGateway);
  await address(host, "eth0", `${addresses.host}/24`, addresses.hostGateway);
  await address(neighbour, "eth0", `${addresses.neighbour}/24`, addresses.hostGateway);
  await address(internet, "eth0", `${addresses.internet}/24`, addresses.internetGateway);

  // A neighbour that forwards for others would be a second router; only these two are.
  await router.sysctl("net.ipv4.ip_forward", 1);
  await host.sysctl("net.ipv4.ip_forward", 1);
  // ICMP errors are part of what is tested: no limit on how many the router and the host send.
  for (const namespace of [router, host]) await namespace.sysctl("net.ipv4.icmp_ratelimit", 0);
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
  await address(client, "eth0", `${addresses.hostGateway}/24`);
  await address(host, "eth0", `${addresses.host}/24`, addresses.hostGateway);
  await host.sysctl("net.ipv4.ip_forward", 1);
  return { client, host };
}
