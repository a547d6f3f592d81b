import type { EngineContainer } from "../docker/model.js";
import type { HostDials, HostState } from "../host/state.js";
import {
  type Address,
  ANY,
  canonical,
  compareAddresses,
  FAMILIES,
  type Family,
  familyOf,
  isLoopback,
  isUnicast,
} from "../ip.js";
import type { NetAddress } from "../native/index.js";
import { isNat } from "./nat.js";
import type { GatewayOf, PlannedHostAddress, PlannedHostPort, PlanOptions, PlanWarning } from "./types.js";

/** include/uapi/linux/if_addr.h */
const IFA_F_SECONDARY = 0x01;
const IFA_F_DADFAILED = 0x08;
const IFA_F_TENTATIVE = 0x40;

/**
 * Published ports as processes of the host dial them: those that the engine's rules translate, and those that docker-proxy takes.
 * Left to the engine's own ways: all of a family where a rule of the user's may concern them, and all of it where the engine has
 * no rules that tell whether docker-proxy is on.
 */
export function planHostPorts(
  gateways: GatewayOf[],
  host: HostState,
  options: PlanOptions,
  warnings: PlanWarning[],
): PlannedHostPort[] {
  if (options.hostSockets === "off") return [];
  const byKey = new Map<string, PlannedHostPort>();
  const gatewaysOf = new Map<EngineContainer, number>();
  for (const { container } of gateways) gatewaysOf.set(container, (gatewaysOf.get(container) ?? 0) + 1);
  for (const gateway of gateways) {
    for (const { hostIp, hostPort, proto, containerPort } of gateway.container.ports) {
      if (proto === "sctp") continue;
      const family = familyOf(hostIp);
      if (hostIp !== ANY[family] && !isUnicast(hostIp) && !isLoopback(hostIp)) continue;
      const way = wayFor(family, gatewaysOf, gateway, host.dials);
      if (way === undefined) continue;
      const { loopback, addresses } = only(hostIp, way);
      if (loopback === undefined && addresses === undefined) continue;
      const { containerAddress, source, keepSource } = way;
      const { endpointId } = gateway.endpoint;
      const key = `${proto} ${hostIp} ${hostPort}`;
      // A port that is published twice has its warning from planPorts().
      if (byKey.has(key)) continue;
      byKey.set(key, {
        proto,
        address: hostIp,
        port: hostPort,
        endpointId,
        containerAddress,
        containerPort,
        loopback,
        addresses,
        keepSource,
        source,
      });
    }
  }
  for (const family of FAMILIES) warnOfObstacle(family, gateways, host.dials[family], warnings);
  return [...byKey.values()].sort(
    (a, b) =>
      (a.proto < b.proto ? -1 : a.proto > b.proto ? 1 : 0) ||
      compareAddresses(a.address, b.address) ||
      a.port - b.port,
  );
}

type Way = Pick<PlannedHostPort, "loopback" | "addresses" | "keepSource" | "source" | "containerAddress">;

/** How connections to a host address of a family get to the container; undefined: not by anything that we stand in for. */
function wayFor(
  family: Family,
  gatewaysOf: ReadonlyMap<EngineContainer, number>,
  { container, network, endpoint }: GatewayOf,
  dials: HostState["dials"],
): Way | undefined {
  if (dials[family].obstacle !== undefined) return undefined;
  const hasProxy = FAMILIES.some((one) => dials[one].translated === "addresses");
  const proxied = hasProxy ? "proxied" : undefined;
  const ip = endpoint.ip[family];
  if (ip === undefined) {
    // docker-proxy takes IPv6 to a container that has none by IPv4.
    const ipv4 = endpoint.ip[4];
    if (family === 4 || !ipv4?.gateway || !isNat(network, 4)) return undefined;
    if (dials[4].obstacle !== undefined || proxied === undefined) return undefined;
    const none = container.endpoints.every((one) => one.address6 === undefined);
    if (!none || gatewaysOf.get(container) !== 1) return undefined;
    return {
      loopback: proxied,
      addresses: proxied,
      keepSource: false,
      source: undefined,
      containerAddress: ipv4.address,
    };
  }
  if (!ip.gateway || !isNat(network, family)) return undefined;
  const { translated, masqueraded } = dials[family];
  const isMasqueraded = masqueraded.has(endpoint.bridge);
  const source = masqueraded.get(endpoint.bridge);
  return {
    // IPv6 can't be translated from ::1, whatever the rules say. Unless masqueraded, nothing comes back to 127.0.0.1.
    loopback: proxied ?? (family === 4 && translated === "all" && isMasqueraded ? "translated" : undefined),
    addresses: translated === "none" ? proxied : "translated",
    keepSource: !isMasqueraded,
    source,
    containerAddress: ip.address,
  };
}

/** What of it holds for a port that is published on this address. */
function only(hostIp: Address, { loopback, addresses }: Way): Pick<Way, "loopback" | "addresses"> {
  if (hostIp === ANY[familyOf(hostIp)]) return { loopback, addresses };
  return isLoopback(hostIp) ? { loopback, addresses: undefined } : { loopback: undefined, addresses };
}

function warnOfObstacle(
  family: Family,
  gateways: GatewayOf[],
  { obstacle }: HostDials,
  warnings: PlanWarning[],
): void {
  const publishes = gateways.some(({ container }) =>
    container.ports.some(({ hostIp }) => familyOf(hostIp) === family),
  );
  if (obstacle === undefined || !publishes) return;
  warnings.push({
    code: "dials_filtered",
    message: `processes of the host reach published ports of IPv${family} by the engine's own way: a rule of yours may concern them (${obstacle})`,
    transient: false,
  });
}

/**
 * The host's own addresses that can be dialled, but for loopback and link-local, with the source that the kernel gives to
 * connections to them: RTA_PREFSRC of the local route, which is the primary address of the subnet; of IPv6 the address itself.
 * @param engineBridges names of the engine's bridges
 */
export function planHostAddresses(host: HostState, engineBridges: ReadonlySet<string>): PlannedHostAddress[] {
  const bridges = new Set(host.links.filter((link) => engineBridges.has(link.name)).map((l) => l.ifindex));
  const planned = new Map<Address, PlannedHostAddress>();
  for (const one of host.addresses) {
    if (!isUnicast(one.address)) continue;
    const address = canonical(one.address, one.family);
    if (address === undefined || planned.has(address)) continue;
    if (one.family === 6 && (one.flags & (IFA_F_DADFAILED | IFA_F_TENTATIVE)) !== 0) continue;
    const source = one.family === 4 ? primaryOf(one, host.addresses) : address;
    if (source === undefined) continue;
    planned.set(address, {
      address,
      source,
      bridgeIfindex: bridges.has(one.ifindex) ? one.ifindex : undefined,
    });
  }
  return [...planned.values()].sort((a, b) => compareAddresses(a.address, b.address));
}

function primaryOf(one: NetAddress, all: readonly NetAddress[]): Address | undefined {
  if ((one.flags & IFA_F_SECONDARY) === 0) return canonical(one.address, 4);
  const primary = all.find(
    (other) =>
      other.family === 4 &&
      other.ifindex === one.ifindex &&
      other.prefixLength === one.prefixLength &&
      (other.flags & IFA_F_SECONDARY) === 0 &&
      isSameSubnet(other.address, one.address, one.prefixLength),
  );
  return primary === undefined ? undefined : canonical(primary.address, 4);
}

function isSameSubnet(a: Address, b: Address, prefixLength: number): boolean {
  const shift = 2 ** (32 - prefixLength);
  return Math.floor(numberOf(a) / shift) === Math.floor(numberOf(b) / shift);
}

function numberOf(address: Address): number {
  return address.split(".").reduce((number, part) => number * 256 + Number(part), 0);
}
