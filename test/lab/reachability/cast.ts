// Who there is in the matrix: the networks, their containers, and what these publish. Pure.

import { addresses, addresses6 } from "../lib/topology.js";
import type { FamilyName } from "./rows.js";
import type { Setting } from "./settings.js";

/** A second IPv4 address of the host. (Not of IPv6: which of two to masquerade to would be the kernel's to choose.) */
export const secondAddress = "198.18.2.9";

/** What every server listens on besides: never published. */
export const unpublishedPort = 7009;
/** A process on the host, TCP and UDP. */
export const hostPort = 7100;
/** A container with `--network host`. */
export const hostNetworkPort = 7101;

export interface Network {
  readonly options: readonly string[];
  /** It has IPv6 unless told. */
  readonly ipv4Only?: boolean;
  /** Needs the options of a current engine. */
  readonly current?: boolean;
}

const option = (name: string, value: string) => ["--opt", `com.docker.network.${name}=${value}`];
const gatewayMode = (mode: string) => [4, 6].flatMap((f) => option(`bridge.gateway_mode_ipv${f}`, mode));

/** By name; the order tells their subnets. `bridge`, the engine's own, is there by itself, with icc off. */
export const networks: Readonly<Record<string, Network>> = {
  app: { options: [] },
  other: { options: [] },
  plain: { options: [], ipv4Only: true },
  quiet: { options: option("bridge.enable_icc", "false") },
  inner: { options: ["--internal"] },
  open: { options: option("bridge.enable_ip_masquerade", "false") },
  fixed: { options: option("host_ipv4", secondAddress), ipv4Only: true },
  bound: { options: option("bridge.host_binding_ipv4", secondAddress), ipv4Only: true },
  routed: { options: gatewayMode("routed"), current: true },
  unprotected: { options: gatewayMode("nat-unprotected"), current: true },
  isolated: { options: ["--internal", ...gatewayMode("isolated")], current: true },
  trusting: { options: option("bridge.trusted_host_interfaces", "eth0"), current: true },
};

export interface Member {
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

/**
 * Each host port has a container port of its own: 29's nftables backend without docker-proxy refuses to publish one twice ("rule
 * exists"). Every container listens on 7000 and on the port that is never published; by name.
 */
export const members: Readonly<Record<string, Member>> = {
  web: {
    network: "app",
    publish: [
      ...both("7000:7000"),
      ...both(`${addresses.host}:7001:7001`),
      ...both(`[${addresses6.host}]:7001:7001`),
      ...both(`${secondAddress}:7002:7002`),
      ...both("127.0.0.1:7003:7003"),
      ...both("[::1]:7003:7003"),
      ...both("7011-7013:7011-7013"),
    ],
    listen: [7001, 7002, 7003, 7012],
  },
  side: { network: "container:web", listen: [7011] },
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

/** Whether a setting's engine has what a container needs. */
export const isCastIn = ({ kind }: Setting, name: string): boolean =>
  kind !== "20.10" || !networks[members[name]?.network ?? ""]?.current;

/** The container that publishes a port of the host, where one does. */
export function publisherOf(port: number): string | undefined {
  const publishes = (published: string) => {
    // [ADDRESS:]PORT[-PORT]:PORT[-PORT]
    const [, first = "", last = first] = /(?:^|:)(\d+)(?:-(\d+))?:[\d-]+$/.exec(published) ?? [];
    return port >= Number(first) && port <= Number(last);
  };
  return Object.entries(members).find(([, { publish = [] }]) => publish.some(publishes))?.[0];
}

const numberOf = (network: string) => Object.keys(networks).indexOf(network) + 1;

/** The subnets of one of `networks`. */
export const subnetsOf = (network: string): Readonly<Record<FamilyName, string>> => ({
  IPv4: `172.30.${numberOf(network)}.0/24`,
  IPv6: `fd00:30:${numberOf(network)}::/64`,
});

/** Its gateway, as the engine chooses it. */
export const gatewayOf = (network: string): Readonly<Record<FamilyName, string>> => ({
  IPv4: `172.30.${numberOf(network)}.1`,
  IPv6: `fd00:30:${numberOf(network)}::1`,
});
