// The networks and containers of the matrix, brought up once for each setting, and what their addresses are called.

import { type Container, createLab, type Lab, Namespace, run } from "../lib/index.js";
import { addresses, addresses6 } from "../lib/topology.js";
import type { FamilyName } from "./rows.js";
import { engineOptions, type Setting } from "./settings.js";

/** A second IPv4 address of the host. (Not of IPv6: which of two to masquerade to would be the kernel's to choose.) */
export const secondAddress = "198.18.2.9";

/** What every server listens on besides: never published. */
export const unpublishedPort = 7009;
/** A process on the host, TCP and UDP. */
export const hostPort = 7100;
/** A container with `--network host`. */
export const hostNetworkPort = 7101;

interface Network {
  readonly options: readonly string[];
  /** It has IPv6 unless told. */
  readonly ipv4Only?: boolean;
  /** Needs the options of a current engine. */
  readonly current?: boolean;
}

const option = (name: string, value: string) => ["--opt", `com.docker.network.${name}=${value}`];
const gatewayMode = (mode: string) => [4, 6].flatMap((f) => option(`bridge.gateway_mode_ipv${f}`, mode));

/** By name; the order tells their subnets. `bridge`, the engine's own, is there by itself, with icc off. */
const networks: Readonly<Record<string, Network>> = {
  app: { options: [] },
  other: { options: [] },
  plain: { options: [], ipv4Only: true },
  quiet: { options: option("bridge.enable_icc", "false") },
  inner: { options: ["--internal"] },
  open: { options: option("bridge.enable_ip_masquerade", "false") },
  fixed: { options: option("host_ipv4", secondAddress) },
  bound: { options: option("bridge.host_binding_ipv4", secondAddress), ipv4Only: true },
  routed: { options: gatewayMode("routed"), current: true },
  unprotected: { options: gatewayMode("nat-unprotected"), current: true },
  isolated: { options: ["--internal", ...gatewayMode("isolated")], current: true },
  trusting: { options: option("bridge.trusted_host_interfaces", "eth0"), current: true },
};

interface Member {
  readonly network: string;
  /** Connected to it too, once it runs. */
  readonly also?: string;
  readonly publish?: readonly string[];
  readonly args?: readonly string[];
  /** More ports to listen on. */
  readonly listen?: readonly number[];
}

/** Both protocols of a port to be published. */
const both = (port: string) => [port, `${port}/udp`];

/** Every container listens on 7000 and on the port that is never published; by name. */
const members: Readonly<Record<string, Member>> = {
  web: {
    network: "app",
    publish: [
      ...both("7000:7000"),
      ...both(`${addresses.host}:7001:7000`),
      ...both(`[${addresses6.host}]:7001:7000`),
      ...both(`${secondAddress}:7002:7000`),
      ...both("127.0.0.1:7003:7000"),
      ...both("[::1]:7003:7000"),
      ...both("7011-7013:7001-7003"),
    ],
    listen: [7002],
  },
  side: { network: "container:web", listen: [7001] },
  peer: { network: "app" },
  shop: { network: "other", publish: both("7020:7000") },
  both: { network: "app", also: "other", publish: both("7021:7000") },
  plain: { network: "plain", publish: both("7022:7000") },
  hushed: { network: "quiet", publish: both("7023:7000") },
  mute: { network: "quiet" },
  lone: {
    network: "bridge",
    publish: both("7024:7000"),
    args: ["--expose", "7000/tcp", "--expose", "7000/udp"],
  },
  stray: { network: "bridge" },
  linked: { network: "bridge", args: ["--link", "lone:lone"] },
  inner: { network: "inner", publish: both("7025:7000") },
  inmate: { network: "inner" },
  open: { network: "open", publish: both("7026:7000") },
  fixed: { network: "fixed", publish: both("7027:7000") },
  bound: { network: "bound", publish: both("7028:7000") },
  none: { network: "none" },
  hostly: { network: "host", listen: [hostNetworkPort] },
  routed: { network: "routed", publish: both("7030:7000") },
  unprotected: { network: "unprotected", publish: both("7031:7000") },
  isolated: { network: "isolated", publish: both("7032:7000") },
  hermit: { network: "isolated" },
  trusting: { network: "trusting", publish: both("7033:7000") },
};

/** The lab's machines and the containers, by the names that they have in the matrix. */
export interface World {
  readonly setting: Setting;
  readonly lab: Lab;
  readonly containers: ReadonlyMap<string, Container>;
  /** Where somebody of that name asks from. */
  namespace(name: string): Namespace;
  /**
   * The address of somebody of that name (see Destination in rows.ts); undefined where there is none of that family.
   * @throws Error where a setting has nobody of that name
   */
  address(name: string, family: FamilyName): string | undefined;
  /** What an address is called: the name of whose it is, "NETWORK's gateway", or the address itself. */
  nameOf(address: string): string;
}

type Machine = "client" | "host" | "internet" | "neighbour";
const ofFamily = { IPv4: addresses, IPv6: addresses6 } as const;
const machines: readonly string[] = ["client", "host", "internet", "neighbour"] satisfies Machine[];

const subnetsOf = (index: number) => ({ ipv4: `172.30.${index}.0/24`, ipv6: `fd00:30:${index}::/64` });

/** Whether a setting's engine has what a container needs. */
const has = ({ kind }: Setting, { network }: Member) => kind !== "20.10" || !networks[network]?.current;

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
    const world: World = {
      setting,
      lab,
      containers,
      namespace: (name) => {
        if (machines.includes(name)) return lab[name as Machine];
        const container = containers.get(name);
        if (!container) throw new Error(`the matrix has no ${name} with ${setting.name}`);
        // Not its sandbox: one that shares another's, or the host's, has none of its own.
        return new Namespace(`/proc/${container.pid}/ns/net`);
      },
      address: (name, family) => addressOf(containers, name, family),
      nameOf: (address) => names.get(address) ?? address,
    };
    await serve(world);
    return world;
  } catch (error) {
    await lab.dispose();
    throw error;
  }
}

async function createNetworks({ engine }: Lab, { kind }: Setting): Promise<void> {
  const wanted = Object.entries(networks).filter(([, { current }]) => kind !== "20.10" || !current);
  // One after the other: an engine makes one at a time, and each checks the subnets of those before.
  for (const [index, [name, { options, ipv4Only }]] of wanted.entries()) {
    const { ipv4, ipv6 } = subnetsOf(index + 1);
    const more = ipv4Only ? [] : ["--ipv6", "--subnet", ipv6];
    await engine.createNetwork(name, "--subnet", ipv4, ...more, ...options);
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
  const wanted = Object.entries(members).filter(([, member]) => has(setting, member));
  const start = async ([name, { network, also, publish, args }]: [string, Member]) => {
    await engine.run("busybox", { name, network, ...(publish && { publish }), ...(args && { args }) });
    if (also) await engine.docker(["network", "connect", also, name]);
    return [name, await engine.container(name)] as const;
  };
  const isLater = ([, { network, args }]: [string, Member]) =>
    network.startsWith("container:") || args?.includes("--link") === true;
  const first = await Promise.all(wanted.filter((one) => !isLater(one)).map(start));
  const later = await Promise.all(wanted.filter(isLater).map(start));
  return new Map([...first, ...later]);
}

/** Every container, the host and the internet listen. */
async function serve(world: World): Promise<void> {
  const { lab, containers } = world;
  const listen = async (at: Namespace, ports: readonly number[]) => {
    const args = ports.flatMap((port) => ["--tcp", port, "--udp", port]);
    await at.agent("serve.mjs", args, lab.disposers).waitFor(/ready/);
  };
  const inContainers = [...containers.keys()].map((name) => {
    const { network, listen: more = [] } = members[name] ?? {};
    // In a network namespace of its own.
    const own = network !== "host" && !network?.startsWith("container:");
    return listen(world.namespace(name), [...(own ? [7000, unpublishedPort] : []), ...more]);
  });
  await Promise.all([
    ...inContainers,
    listen(lab.host, [hostPort]),
    listen(lab.internet, [7000]),
    listen(lab.neighbour, [7000]),
  ]);
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
    const [member] = Object.entries(members).find((one) => one[1].network === network) ?? [];
    const container = containers.get(member ?? "");
    return (six ? container?.gateway6(network) : container?.gateway(network)) || undefined;
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
  for (const machine of ["client", "host", "internet", "neighbour"] as const)
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
