/**
 * Mode replace: the slow path as rules of nftables, in a table of fairway's own. What the engine's rules do is in
 * docs/architecture.md; here it is done by sets and maps, so that a packet passes as few rules with 10,000 ports as with ten. Pure.
 */

import { UserError } from "../errors.js";
import { ANY, FAMILIES, type Family } from "../ip.js";
import { formatNetwork, parseNetwork } from "../networks.js";
import type { SlowNetwork, SlowPath, SlowPort } from "../plan/slow_path.js";
import type { Chain, Elements, NamedSet, Table } from "./script.js";

const NFT: Readonly<Record<Family, { address: string; ip: string; icmp: string }>> = {
  4: { address: "ipv4_addr", ip: "ip", icmp: "icmp" },
  6: { address: "ipv6_addr", ip: "ip6", icmp: "ipv6-icmp" },
};

/** What nft's scanner takes for a name and nothing else. Linux allows more. */
const DEVICE_NAME = /^[A-Za-z0-9_.:@+-]{1,15}$/;

/**
 * The table as planned.
 * @throws UserError where a device has a name that can't be written safely, or a subnet is none
 */
export function ruleset(slowPath: SlowPath): Table {
  checkNames(slowPath.networks);
  return { sets: sets(slowPath), chains: chains(slowPath.networks) };
}

function checkNames(networks: readonly SlowNetwork[]): void {
  for (const { bridge, trusted } of networks) {
    const bad = [bridge, ...trusted].find((name) => !DEVICE_NAME.test(name));
    if (bad === undefined) continue;
    const what =
      bad === bridge ? "the bridge" : `the interface that the network of bridge ${bridge} is to trust,`;
    throw new UserError(`${what} ${JSON.stringify(bad)} has a name that no rule can be written for`, {
      remedy: `give the network another com.docker.network.bridge.${bad === bridge ? "name" : "trusted_host_interfaces"}`,
    });
  }
}

function sets({ networks, ports, routedPorts, bridges }: SlowPath): NamedSet[] {
  const quoted = (matching: (network: SlowNetwork) => boolean) =>
    networks.filter(matching).map(({ bridge }) => `"${bridge}"`);
  const withItself = (matching: (network: SlowNetwork) => boolean) =>
    quoted(matching).map((name) => `${name} . ${name}`);
  const trusted = networks.flatMap(({ bridge, trusted }) => trusted.map((name) => `"${name}" . "${bridge}"`));
  return [
    set("known", "iface_index", bridges.map(String)),
    set(
      "bridges",
      "ifname",
      quoted(() => true),
    ),
    set(
      "internal",
      "ifname",
      quoted(({ internal }) => internal),
    ),
    set(
      "icc",
      "ifname . ifname",
      withItself(({ icc }) => icc),
    ),
    set(
      "closed",
      "ifname . ifname",
      withItself(({ icc }) => !icc),
    ),
    set("trusted", "ifname . ifname", trusted),
    ...FAMILIES.flatMap((family) => [
      ...(["routed", "nat-unprotected"] as const).map((mode) =>
        set(
          `${mode === "routed" ? "routed" : "unprotected"}_ipv${family}`,
          "ifname",
          quoted(({ ip }) => ip[family]?.gatewayMode === mode),
        ),
      ),
      ...portSets(ports, family),
      set(
        `routed_ports_ipv${family}`,
        `${NFT[family].address} . inet_proto . inet_service`,
        routedPorts.filter((p) => p.family === family).map((p) => `${p.address} . ${p.proto} . ${p.port}`),
      ),
    ]),
  ];
}

function set(name: string, type: string, elements: readonly string[]): NamedSet {
  return { kind: "set", name, type, elements: new Map(elements.map((key) => [key, ""])) };
}

/** Published ports: where they lead, by host address and on any, and what of the containers they let in. */
function portSets(all: readonly SlowPort[], family: Family): NamedSet[] {
  const ports = all.filter((port) => port.family === family);
  const { address } = NFT[family];
  const target = `${address} . inet_service`;
  const elements = (any: boolean): Elements =>
    new Map(
      ports
        .filter((port) => (port.address === ANY[family]) === any)
        .map((p) => [
          `${any ? "" : `${p.address} . `}${p.proto} . ${p.port}`,
          `${p.containerAddress} . ${p.containerPort}`,
        ]),
    );
  const map = (name: string, type: string, any: boolean): NamedSet => ({
    kind: "map",
    name: `${name}_ipv${family}`,
    type: `${type} : ${target}`,
    elements: elements(any),
  });
  return [
    map("ports", `${address} . inet_proto . inet_service`, false),
    map("any_ports", "inet_proto . inet_service", true),
    set(
      `admitted_ipv${family}`,
      `${address} . inet_proto . inet_service`,
      ports.map((p) => `${p.containerAddress} . ${p.proto} . ${p.containerPort}`),
    ),
  ];
}

/** Each after those that it jumps to. */
function chains(networks: readonly SlowNetwork[]): Chain[] {
  return [
    { name: "published", rules: FAMILIES.flatMap(translation) },
    {
      // Without docker-proxy the engine has its bridges route loopback addresses (route_localnet), which is meant for the host alone.
      name: "loopback",
      hook: "type filter hook prerouting priority raw",
      rules: ['iifname != "lo" ip daddr 127.0.0.0/8 drop'],
    },
    {
      name: "prerouting",
      hook: "type nat hook prerouting priority dstnat",
      rules: ["fib daddr type local jump published"],
    },
    {
      name: "output",
      hook: "type nat hook output priority -100",
      rules: [
        'oifname != "lo" return',
        // What the host sends to ::1 can't be given another source.
        "ip6 daddr ::1 return",
        "fib daddr type local jump published",
      ],
    },
    {
      name: "postrouting",
      hook: "type nat hook postrouting priority srcnat",
      rules: networks.flatMap((network) => FAMILIES.flatMap((family) => masquerading(network, family))),
    },
    {
      name: "to_network",
      rules: [
        "ct state established,related accept",
        "iifname . oifname @icc accept",
        "iifname . oifname @closed drop",
        "iifname @internal drop",
        "oifname @internal drop",
        ...FAMILIES.flatMap(admission),
        "drop",
      ],
    },
    {
      name: "forward",
      hook: "type filter hook forward priority filter",
      rules: [
        // By index, which no other device ever has: a network made anew with an old one's name is another one.
        'meta iifkind "bridge" iif != @known drop',
        'meta oifkind "bridge" oif != @known drop',
        "iifname @internal oifname != @bridges drop",
        "oifname @bridges jump to_network",
      ],
    },
  ];
}

function translation(family: Family): string[] {
  const { ip } = NFT[family];
  const to = `meta nfproto ipv${family} dnat ${ip} addr . port to`;
  return [
    `${to} ${ip} daddr . meta l4proto . th dport map @ports_ipv${family}`,
    `${to} meta l4proto . th dport map @any_ports_ipv${family}`,
  ];
}

/**
 * What leaves a network gets the host's address; and so does what comes back to it through a published port, or its answers
 * would go straight from container to container. What the host itself sends into it gets the gateway's, as from an engine without
 * docker-proxy.
 */
function masquerading({ bridge, ip: both }: SlowNetwork, family: Family): string[] {
  const own = both[family];
  if (own === undefined || !own.masquerade) return [];
  const { ip } = NFT[family];
  const translate = own.snatAddress === undefined ? "masquerade" : `snat ${ip} to ${own.snatAddress}`;
  return own.subnets
    .flatMap((text) => {
      const network = parseNetwork(text);
      const subnet = "problem" in network ? undefined : formatNetwork(network);
      if (subnet === undefined) throw new UserError(`the engine names a subnet that is none: ${text}`);
      return [
        `${ip} saddr ${subnet} oifname != "${bridge}" ${translate}`,
        `${ip} saddr ${subnet} oifname "${bridge}" ct status dnat masquerade`,
      ];
    })
    .concat(`meta nfproto ipv${family} oifname "${bridge}" fib saddr type local ${translate}`);
}

/** New connections into a network: by published ports, by trusted devices, and wherever its gateway routes or does not protect it. */
function admission(family: Family): string[] {
  const { ip, icmp } = NFT[family];
  const port = `${ip} daddr . meta l4proto . th dport`;
  return [
    `ct status dnat ${port} @admitted_ipv${family} accept`,
    `iifname . oifname @trusted ${port} @admitted_ipv${family} accept`,
    `${port} @routed_ports_ipv${family} accept`,
    `oifname @routed_ipv${family} meta l4proto ${icmp} accept`,
    `meta nfproto ipv${family} oifname @unprotected_ipv${family} accept`,
  ];
}
