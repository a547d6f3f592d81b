// The networks and containers of the matrix, brought up once for each setting, and what their addresses are called.

import {
  type Container,
  createLab,
  type Lab,
  Metrics,
  metricsAddress,
  Namespace,
  run,
} from "../lib/index.js";
import { addresses, addresses6 } from "../lib/topology.js";
import {
  gatewayOf,
  hostPort,
  isCastIn,
  type Member,
  members,
  networks,
  secondAddress,
  subnetsOf,
  unpublishedPort,
} from "./cast.js";
import { Peer } from "./peer.js";
import type { FamilyName } from "./rows.js";
import { engineOptions, type Setting } from "./settings.js";

/** The lab's machines and the containers, by the names that they have in the matrix. */
export interface World {
  readonly setting: Setting;
  readonly lab: Lab;
  /**
   * Somebody by name.
   * @throws Error where a setting has nobody of that name
   */
  peer(name: string): Peer;
  /** fairway's counters, once it runs. */
  metrics(): Promise<Metrics>;
  /**
   * The address of somebody of that name (see Destination in rows.ts); undefined where there is none of that family.
   * @throws Error where a setting has nobody of that name
   */
  address(name: string, family: FamilyName): string | undefined;
  /** What an address is called: the name of whose it is, "NETWORK's gateway", or the address itself. */
  nameOf(address: string): string;
}

/** What listens outside containers. */
const machinePorts = { client: [], host: [hostPort], internet: [7000], neighbour: [7000] } as const;
type Machine = keyof typeof machinePorts;
const ofFamily = { IPv4: addresses, IPv6: addresses6 } as const;
const machines: readonly string[] = Object.keys(machinePorts);

/** Brings up the lab of a setting with everything in it, servers listening; the caller disposes of it. */
export async function createWorld(setting: Setting): Promise<World> {
  const lab = await createLab(engineOptions(setting));
  try {
    if (setting.forward === "DROP")
      for (const tool of ["iptables", "ip6tables"]) await lab.host.exec([tool, "-P", "FORWARD", "DROP"]);
    await run(["ip", "-n", lab.host.name, "address", "add", `${secondAddress}/24`, "dev", "eth0"]);
    await Promise.all([createNetworks(lab, setting), lab.engine.images("busybox"), leadIn(lab)]);
    const containers = await startContainers(lab, setting);
    const names = namesOf(containers);
    const peers = await startPeers(lab, containers);
    const peer = (name: string) => {
      const found = peers.get(name);
      if (!found) throw new Error(`the matrix has no ${name} with ${setting.name}`);
      return found;
    };
    return {
      setting,
      lab,
      peer,
      metrics: async () => {
        const [text = ""] = await peer("host").ask([
          { protocol: "http", host: `http://${metricsAddress}/metrics` },
        ]);
        return new Metrics(text);
      },
      address: (name, family) => addressOf(containers, name, family),
      nameOf: (address) => names.get(address) ?? address,
    };
  } catch (error) {
    await lab.dispose();
    throw error;
  }
}

async function createNetworks({ engine }: Lab, { kind }: Setting): Promise<void> {
  const wanted = Object.entries(networks).filter(([, { current }]) => kind !== "20.10" || !current);
  // One after the other: an engine makes one at a time, and each checks the subnets of those before.
  for (const [name, { options, ipv4Only }] of wanted) {
    const { IPv4, IPv6 } = subnetsOf(name);
    const more = ipv4Only ? [] : ["--ipv6", "--subnet", IPv6];
    await engine.createNetwork(name, "--subnet", IPv4, ...more, ...options);
  }
}

/** Routes by which outsiders try containers' own addresses, and one to the host's loopback. */
async function leadIn({ router, neighbour }: Lab): Promise<void> {
  for (const { name } of [router, neighbour]) {
    await run(["ip", "-n", name, "route", "add", "172.16.0.0/12", "via", addresses.host]);
    await run(["ip", "-n", name, "route", "add", "fd00::/8", "via", addresses6.host]);
  }
  const local = ["ip", "-n", neighbour.name, "route", "del", "table", "local", "local"];
  for (const loopback of ["127.0.0.0/8", "127.0.0.1"]) await run([...local, loopback, "dev", "lo"]);
  await run(["ip", "-n", neighbour.name, "route", "add", "127.0.0.1", "via", addresses.host]);
  await neighbour.sysctl("net.ipv4.conf.all.route_localnet", 1);
}

async function startContainers(lab: Lab, setting: Setting): Promise<Map<string, Container>> {
  const { engine } = lab;
  const wanted = Object.entries(members).filter(([name]) => isCastIn(setting, name));
  const start = async ([name, { network, also, publish, args }]: [string, Member]) => {
    const options = { name, network, ...(publish && { publish }), ...(args && { args }) };
    const container = await engine.run("busybox", options);
    if (!also) return [name, container] as const;
    await engine.docker(["network", "connect", also, name]);
    return [name, await engine.container(name)] as const;
  };
  const isLater = ([, { network, args }]: [string, Member]) =>
    network.startsWith("container:") || args?.includes("--link") === true;
  const first = await Promise.all(wanted.filter((one) => !isLater(one)).map(start));
  const later = await Promise.all(wanted.filter(isLater).map(start));
  return new Map([...first, ...later]);
}

/** In every container and on every machine. */
async function startPeers(lab: Lab, containers: ReadonlyMap<string, Container>): Promise<Map<string, Peer>> {
  const start = async (name: string, at: Namespace, ports: readonly number[]) =>
    [name, await Peer.start(at, ports, lab.disposers)] as const;
  const inContainers = [...containers].map(([name, { pid }]) => {
    const { network, listen = [] } = members[name] ?? {};
    // In a network namespace of its own.
    const own = network !== "host" && !network?.startsWith("container:");
    // Not its sandbox: one that shares another's, or the host's, has none of its own.
    const at = new Namespace(`/proc/${pid}/ns/net`);
    return start(name, at, [...(own ? [7000, unpublishedPort] : []), ...listen]);
  });
  const onMachines = Object.entries(machinePorts).map(([name, ports]) =>
    start(name, lab[name as Machine], ports),
  );
  return new Map(await Promise.all([...inContainers, ...onMachines]));
}

function addressOf(
  containers: ReadonlyMap<string, Container>,
  name: string,
  family: FamilyName,
): string | undefined {
  const six = family === "IPv6";
  if (name === "localhost") return six ? "::1" : "127.0.0.1";
  if (name === "127.0.0.1") return six ? undefined : name;
  if (name === "host2") return six ? undefined : secondAddress;
  if (machines.includes(name)) return ofFamily[family][name as Machine];
  if (name.startsWith("GW ")) {
    const network = name.slice(3);
    // Not the engine's to choose, but for its own; and it does not tell those of internal networks.
    if (network !== "bridge") return gatewayOf(network)[family];
    const container = containers.get("stray");
    return six ? container?.gateway6() : container?.gateway();
  }
  const [alias = "", on] = name.split("@");
  // Whose network it shares is reached as that.
  const own = members[alias]?.network.startsWith("container:") ? members[alias].network.slice(10) : alias;
  const container = containers.get(own);
  if (!container) throw new Error(`the matrix has no ${own}`);
  const network = on ?? members[own]?.network;
  return (six ? container.address6(network) : container.address(network)) || undefined;
}

function namesOf(containers: ReadonlyMap<string, Container>): Map<string, string> {
  const names = new Map<string, string>([
    [secondAddress, "host2"],
    ["127.0.0.1", "127.0.0.1"],
    ["::1", "::1"],
  ]);
  for (const network of Object.keys(networks))
    for (const address of Object.values(gatewayOf(network))) names.set(address, `GW ${network}`);
  for (const machine of Object.keys(machinePorts) as Machine[])
    for (const all of [addresses, addresses6]) names.set(all[machine], machine);
  for (const [name, container] of containers) {
    const { network, also } = members[name] ?? {};
    for (const on of [network, also]) {
      if (on === undefined || on === "host" || on === "none" || on.startsWith("container:")) continue;
      for (const address of [container.address(on), container.address6(on)])
        if (address) names.set(address, name);
      for (const gateway of [container.gateway(on), container.gateway6(on)])
        if (gateway) names.set(gateway, `GW ${on}`);
    }
  }
  return names;
}
