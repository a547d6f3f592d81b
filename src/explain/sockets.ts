import type { Maps } from "../datapath/maps.js";
import { HostPortFlags } from "../generated/index.js";
import { type Address, ANY, type Family, isLoopback, mapped } from "../ip.js";
import { type Packet, protocolNumber } from "./frame.js";
import type { KnownEndpoint, World } from "./world.js";

/** Where a host's socket that dials a published port is led to. */
export interface Led {
  known: KnownEndpoint;
  address: Address;
  port: number;
  /** Only while docker-proxy listens there. */
  whileProxied: boolean;
}

/** What connect() and sendmsg() would find for the packet, as bpf/lib/dial.h looks it up; undefined: nothing. */
export function ledTo(packet: Packet, family: Family, maps: Maps, world: World): Led | undefined {
  const port = packet.destinationPort;
  const proto = protocolNumber(packet.protocol, family);
  const find = (address: Address) => maps.host_ports.get({ address: mapped(address), port, proto });
  const found = find(packet.destination) ?? find(ANY[family]);
  if (found === undefined) return undefined;
  const known = world.endpoints.find(
    ({ slot, endpoint }) => slot === found.slot && endpoint.generation === found.generation,
  );
  const [leads, proxied] = isLoopback(packet.destination)
    ? [HostPortFlags.LOOPBACK, HostPortFlags.LOOPBACK_PROXIED]
    : [HostPortFlags.ADDRESSES, HostPortFlags.ADDRESSES_PROXIED];
  const has = (flag: number) => (found.flags & flag) !== 0;
  if (known === undefined || !has(leads)) return undefined;
  return { known, address: unmapped(found.address), port: found.port, whileProxied: has(proxied) };
}

/** "::ffff:192.0.2.1" as "192.0.2.1" */
function unmapped(address: Address): Address {
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1] ?? address;
}
