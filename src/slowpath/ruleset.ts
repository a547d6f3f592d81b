/**
 * Mode replace: the slow path as rules of nftables, in a table of fairway's own. What the engine's rules do is in
 * docs/architecture.md; here it is done by sets and maps, so that a packet passes as few rules with 10,000 ports as with ten, and a
 * change is one transaction. Pure.
 */

import { UserError } from "../errors.js";
import { ANY, FAMILIES, type Family } from "../ip.js";
import { formatNetwork, parseNetwork } from "../networks.js";
import type { SlowIp, SlowNetwork, SlowPath, SlowPort } from "../plan/slow_path.js";

/** The table, by family and name. */
export const TABLE = "inet fairway";

const NFT: Readonly<Record<Family, { address: string; ip: string }>> = {
  4: { address: "ipv4_addr", ip: "ip" },
  6: { address: "ipv6_addr", ip: "ip6" },
};

/** What nft's scanner takes for a name and nothing else. Linux allows more. */
const BRIDGE_NAME = /^[A-Za-z0-9_.:@+-]{1,15}$/;

/**
 * The script for `nft -f`: puts the table in the place of the one that there may be.
 * @throws UserError where a bridge has a name that can't be written safely
 */
export function ruleset(slowPath: SlowPath): string {
  for (const { bridge } of slowPath.networks) {
    if (BRIDGE_NAME.test(bridge)) continue;
    throw new UserError(`the bridge ${JSON.stringify(bridge)} has a name that no rule can be written for`, {
      remedy: "give the network another com.docker.network.bridge.name",
    });
  }
  return `${removal()}${table(slowPath)}`;
}

/** The script that takes the table away, whether it is there or not. */
export function removal(): string {
  return `table ${TABLE}\ndelete table ${TABLE}\n`;
}

function table(slowPath: SlowPath): string {
  const { networks } = slowPath;
  const quoted = (matching: (network: SlowNetwork) => boolean) =>
    networks.filter(matching).map(({ bridge }) => `"${bridge}"`);
  const unprotected = (family: Family) => quoted(({ ip }) => ip[family]?.gatewayMode === "nat-unprotected");
  return `table ${TABLE} {
${set(
  "bridges",
  "ifname",
  quoted(() => true),
)}
${set(
  "internal",
  "ifname",
  quoted(({ internal }) => internal),
)}
${set(
  "icc",
  "ifname . ifname",
  networks.filter(({ icc }) => icc).map(({ bridge }) => `"${bridge}" . "${bridge}"`),
)}
${FAMILIES.map((family) => set(`unprotected_ipv${family}`, "ifname", unprotected(family))).join("\n")}
${FAMILIES.map((family) => portSets(slowPath.ports, family)).join("\n")}
	chain prerouting {
		type nat hook prerouting priority dstnat
		fib daddr type local jump published
	}
	chain output {
		type nat hook output priority -100
		oifname != "lo" return
		ip daddr 127.0.0.0/8 return
		ip6 daddr ::1 return
		fib daddr type local jump published
	}
	chain published {
${FAMILIES.map(translation).join("\n")}
	}
	chain postrouting {
		type nat hook postrouting priority srcnat
${networks.flatMap((network) => FAMILIES.flatMap((family) => masquerading(network, family))).join("\n")}
	}
	chain forward {
		type filter hook forward priority filter
		iifname @internal oifname != @bridges drop
		oifname @bridges jump to_network
	}
	chain to_network {
		ct state established,related accept
		iifname . oifname @icc accept
		iifname @internal drop
		oifname @internal drop
${FAMILIES.map(admission).join("\n")}
		drop
	}
}
`;
}

function set(name: string, type: string, elements: string[]): string {
  return named(`set ${name}`, type, elements);
}

function named(what: string, type: string, elements: string[]): string {
  const list = elements.length === 0 ? "" : `\n\t\telements = { ${elements.join(", ")} }`;
  return `\t${what} {\n\t\ttype ${type}${list}\n\t}`;
}

/** Published ports: where they lead, by host address and on any, and what of the containers they let in. */
function portSets(all: readonly SlowPort[], family: Family): string {
  const ports = all.filter((port) => port.family === family);
  const { address } = NFT[family];
  const target = `${address} . inet_service`;
  const leads = (port: SlowPort) => `${port.containerAddress} . ${port.containerPort}`;
  const elements = (any: boolean) =>
    ports
      .filter((port) => (port.address === ANY[family]) === any)
      .map((p) => `${any ? "" : `${p.address} . `}${p.proto} . ${p.port} : ${leads(p)}`);
  const admitted = new Set(ports.map((p) => `${p.containerAddress} . ${p.proto} . ${p.containerPort}`));
  return [
    named(`map ports_ipv${family}`, `${address} . inet_proto . inet_service : ${target}`, elements(false)),
    named(`map any_ports_ipv${family}`, `inet_proto . inet_service : ${target}`, elements(true)),
    named(`set admitted_ipv${family}`, `${address} . inet_proto . inet_service`, [...admitted]),
  ].join("\n");
}

function translation(family: Family): string {
  const { ip } = NFT[family];
  const to = `\t\tmeta nfproto ipv${family} dnat ${ip} addr . port to`;
  return [
    `${to} ${ip} daddr . meta l4proto . th dport map @ports_ipv${family}`,
    `${to} meta l4proto . th dport map @any_ports_ipv${family}`,
  ].join("\n");
}

/**
 * What leaves a network gets the host's address; and so does what comes back to it through a published port, or its answers
 * would go straight from container to container. What the host itself sends into it gets the gateway's, as from an engine without
 * docker-proxy.
 */
function masquerading({ bridge, ip: both }: SlowNetwork, family: Family): string[] {
  const own: SlowIp | undefined = both[family];
  if (own === undefined || !own.masquerade) return [];
  const { ip } = NFT[family];
  const translate = own.snatAddress === undefined ? "masquerade" : `snat ${ip} to ${own.snatAddress}`;
  return own.subnets
    .flatMap((text) => {
      const network = parseNetwork(text);
      const subnet = "problem" in network ? undefined : formatNetwork(network);
      if (subnet === undefined) throw new UserError(`the engine names a subnet that is none: ${text}`);
      return [
        `\t\t${ip} saddr ${subnet} oifname != "${bridge}" ${translate}`,
        `\t\t${ip} saddr ${subnet} oifname "${bridge}" ct status dnat masquerade`,
      ];
    })
    .concat(`\t\tmeta nfproto ipv${family} oifname "${bridge}" fib saddr type local ${translate}`);
}

/** New connections into a network: by published ports, and wherever its gateway does not protect it. */
function admission(family: Family): string {
  const { ip } = NFT[family];
  return [
    `\t\tct status dnat ${ip} daddr . meta l4proto . th dport @admitted_ipv${family} accept`,
    `\t\tmeta nfproto ipv${family} oifname @unprotected_ipv${family} accept`,
  ].join("\n");
}
