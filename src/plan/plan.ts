/**
 * From one look at the engine and one at the host to what the datapath should be. Pure: the same input gives the same
 * plan, in the same order, whatever order the engine and the kernel listed things in.
 */
import type { EngineContainer, EngineEndpoint, EngineNetwork, EngineState } from "../docker/model.js";
import type { HostState } from "../host/state.js";
import {
  type Address,
  canonical,
  compareAddresses,
  FAMILIES,
  type Family,
  isUnicast,
  type PerFamily,
  parseMac,
  perFamily,
} from "../ip.js";
import type { NetLink } from "../native/index.js";
import { compareText, printable } from "../text.js";
import { gatewayEndpoints } from "./gateway.js";
import { planHostAddresses, planHostPorts } from "./host_ports.js";
import { planLeftToEngine } from "./labels.js";
import { planMatrix } from "./matrix.js";
import { isNat } from "./nat.js";
import { addressesOfPlanned, type ParentPlan, planParents } from "./parents.js";
import { planPolicy } from "./policy.js";
import { planPorts, withPorts } from "./ports.js";
import type {
  GatewayOf,
  LeftToEngine,
  Mode,
  Plan,
  PlannedEndpoint,
  PlannedIp,
  PlanOptions,
  PlanWarning,
} from "./types.js";
import { planUplinks } from "./uplinks.js";

/** IFA_F_DADFAILED and IFA_F_TENTATIVE of linux/if_addr.h: an address that nobody may be reached by (yet). */
const NOT_YET = 0x08 | 0x40;
/** The part of conntrack's table from which on it is nearly full. */
const NEARLY_FULL = 0.9;

export function plan(engine: EngineState, seen: HostState, options: PlanOptions): Plan {
  const warnings: PlanWarning[] = engine.warnings.map((message) => ({
    code: "engine",
    message,
    transient: true,
  }));
  const host = options.trustFirewall === "ignore" ? withoutObstacles(seen, warnings) : seen;
  const leftToEngine = planLeftToEngine(engine, warnings);
  const left = new Set(leftToEngine.map(({ id }) => id));
  const { endpoints: bridged, gateways } = planEndpoints(
    engine,
    host,
    left,
    planMatrix(without(left, engine).networks, warnings),
    options.mode ?? "accelerate",
    warnings,
  );
  const engineBridges = new Set(
    engine.networks.flatMap((n) => (n.bridgeName === undefined ? [] : [n.bridgeName])),
  );
  warnOfConntrack(host, warnings);
  const uplinks = planUplinks(host, engineBridges, options, warnings);
  const onParents = planParents(without(left, engine), host, uplinks, addressesOfPlanned(bridged), warnings);
  const endpoints = [...bridged, ...onParents.endpoints].sort((a, b) =>
    compareText(a.endpointId, b.endpointId),
  );
  const ports = withPorts(planPorts(gateways, host.engineNat, warnings), onParents.ports, warnings);
  const policy = planPolicy(withLabelled(engine, onParents), host, uplinks, options, warnings);
  const unsure = engine.unsure.filter((id) => !endpoints.some((e) => e.endpointId === id));
  return {
    endpoints,
    ports,
    hostAddresses: hostAddresses(host),
    uplinks,
    hostPorts: planHostPorts(gateways, host, options, warnings),
    hostDialled: planHostAddresses(host, engineBridges),
    hostSockets: options.hostSockets !== "off",
    policy,
    leftToEngine,
    parents: onParents.parents,
    hostRoutes: onParents.hostRoutes,
    parentSubnets: onParents.parentSubnets,
    unsure: [...new Set(unsure)].sort(compareText),
    warnings: warnings.sort((a, b) => compareText(a.code, b.code) || compareText(a.message, b.message)),
  };
}

/** What the engine has, but for containers and networks of these ids. */
function without(left: ReadonlySet<LeftToEngine["id"]>, engine: EngineState): EngineState {
  return {
    ...engine,
    containers: engine.containers.filter(({ id }) => !left.has(id)),
    networks: engine.networks.filter(({ id }) => !left.has(id)),
  };
}

/** The host as if its firewall had no rules of the user's, which is told. */
function withoutObstacles(host: HostState, warnings: PlanWarning[]): HostState {
  const { routingObstacle, bridgingObstacle, dials } = host;
  const first =
    routingObstacle[4] ?? routingObstacle[6] ?? bridgingObstacle ?? dials[4].obstacle ?? dials[6].obstacle;
  warnings.push({
    code: "firewall_ignored",
    message: `rules of yours don't count on the fast path (trust-firewall: ignore)${first === undefined ? "" : `, though one may concern its connections (${first})`}`,
    transient: false,
  });
  return {
    ...host,
    routingObstacle: perFamily(() => undefined),
    bridgingObstacle: undefined,
    dials: perFamily((family) => ({ ...dials[family], obstacle: undefined })),
  };
}

/** The engine's state with the ports that labels publish among those that it has published itself: policies are of both. */
function withLabelled(engine: EngineState, { endpoints, ports }: ParentPlan): EngineState {
  if (ports.length === 0) return engine;
  const owners = new Map(endpoints.map((e) => [e.endpointId, e.containerId]));
  const labelled = (container: EngineContainer) =>
    ports
      .filter((port) => owners.get(port.endpointId) === container.id)
      .map(({ proto, address, port, containerPort }) => ({
        proto,
        hostIp: address,
        hostPort: port,
        containerPort,
      }));
  const containers = engine.containers.map((c) => ({ ...c, ports: [...c.ports, ...labelled(c)] }));
  return { ...engine, containers };
}

function planEndpoints(
  engine: EngineState,
  host: HostState,
  /** Ids of containers and networks. */
  leftToEngine: ReadonlySet<LeftToEngine["id"]>,
  /** Ids of networks that are counted by pair. */
  matrix: ReadonlySet<string>,
  mode: Mode,
  warnings: PlanWarning[],
): { endpoints: PlannedEndpoint[]; gateways: GatewayOf[] } {
  const networks = new Map(engine.networks.map((n) => [n.id, n]));
  const linksByName = new Map(host.links.map((l) => [l.name, l]));
  const veths = vethsByNamespaceAndBridge(host.links);
  const found: { planned: PlannedEndpoint; container: EngineContainer; network: EngineNetwork }[] = [];
  const filtered = new Set<string>();

  for (const container of engine.containers) {
    if (!container.running || leftToEngine.has(container.id)) continue;
    // The engine chooses among all of them, those that are left to it too.
    const gateways = gatewayEndpoints(container.endpoints, networks);
    for (const endpoint of container.endpoints) {
      const network = networks.get(endpoint.networkId);
      if (network === undefined || network.driver !== "bridge" || leftToEngine.has(network.id)) continue;
      const planned = planEndpoint(container, endpoint, network, {
        bridge: linksByName.get(network.bridgeName ?? ""),
        nsid: host.nsids.get(container.sandboxKey),
        veths,
        isGateway: perFamily((family) => endpoint === gateways[family]),
        matrix: matrix.has(network.id),
        mode,
        host,
      });
      if ("code" in planned) {
        warnings.push(planned);
        continue;
      }
      if (network.icc && host.bridgingObstacle !== undefined) filtered.add(network.name);
      found.push({ planned, container, network });
    }
  }
  for (const name of filtered) {
    warnings.push({
      code: "bridging_filtered",
      message: `network ${printable(name)}: containers reach each other on the slow path: ${mayConcern(host.bridgingObstacle)}`,
      transient: false,
    });
  }
  for (const family of FAMILIES) {
    warnOfFamily(family, host, found, warnings);
  }

  found.sort((a, b) => compareText(a.planned.endpointId, b.planned.endpointId));
  const kept = withoutDuplicates(found, warnings);
  return {
    endpoints: kept.map(({ planned }) => planned),
    gateways: kept
      .filter(({ planned }) => FAMILIES.some((family) => planned.ip[family]?.gateway))
      .map(({ planned, container, network }) => ({ endpoint: planned, container, network })),
  };
}

interface EndpointPlace {
  bridge: NetLink | undefined;
  nsid: number | undefined;
  veths: Map<string, NetLink>;
  isGateway: PerFamily<boolean>;
  matrix: boolean;
  mode: Mode;
  host: HostState;
}

/** What of a family's traffic is not as one could expect, where any endpoint has an address of it. */
function warnOfFamily(
  family: Family,
  host: HostState,
  found: { container: EngineContainer; planned: PlannedEndpoint }[],
  warnings: PlanWarning[],
): void {
  const obstacle = host.routingObstacle[family];
  if (obstacle !== undefined && found.some(({ planned }) => planned.ip[family] !== undefined)) {
    warnings.push({
      code: "connections_filtered",
      message: `new connections of IPv${family} are decided by the kernel's firewall rules and go fast once established: ${mayConcern(obstacle)}`,
      transient: false,
    });
  }
  const has = ({ container }: { container: EngineContainer }) =>
    container.endpoints.some((e) => (family === 4 ? e.address4 : e.address6) !== undefined);
  if (!host.sysctls.forwarding[family] && found.some(has)) {
    const sysctl = family === 4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding";
    warnings.push({
      code: "forwarding_off",
      message: `the host does not forward IPv${family} (${sysctl} is 0): nothing of it is on the fast path`,
      transient: false,
    });
  }
}

/** Whether soon connections fail for want of room in conntrack's table. */
export function isNearlyFull(conntrack: HostState["conntrack"]): boolean {
  if (conntrack === undefined || conntrack.max === 0) return false;
  return conntrack.entries >= conntrack.max * NEARLY_FULL;
}

function warnOfConntrack({ conntrack }: HostState, warnings: PlanWarning[]): void {
  if (conntrack === undefined || !isNearlyFull(conntrack)) return;
  warnings.push({
    code: "conntrack_nearly_full",
    message: `the kernel's connection tracking table is over ${NEARLY_FULL * 100} % full (net.netfilter.nf_conntrack_max is ${conntrack.max}): soon new connections fail`,
    transient: false,
  });
}

function planEndpoint(
  container: EngineContainer,
  endpoint: EngineEndpoint,
  network: EngineNetwork,
  place: EndpointPlace,
): PlannedEndpoint | PlanWarning {
  const who = `container ${printable(container.name)} on network ${printable(network.name)}`;
  const { bridge, nsid } = place;
  const bridgeMac = parseMac(bridge?.mac ?? "");
  if (bridge === undefined || bridgeMac === undefined) {
    const message = `${who}: no bridge ${printable(network.bridgeName ?? "")} on this host`;
    return { code: "endpoint_without_veth", message, transient: true };
  }
  const mac = parseMac(endpoint.mac ?? "");
  const has = FAMILIES.some((family) => addressOf(endpoint, family) !== undefined);
  if (endpoint.endpointId === "" || !has || mac === undefined) {
    return { code: "endpoint_without_address", message: `${who}: no address (yet)`, transient: false };
  }
  const veth = nsid === undefined ? undefined : place.veths.get(`${nsid} ${bridge.ifindex}`);
  if (veth === undefined) {
    return { code: "endpoint_without_veth", message: `${who}: no device of it (yet)`, transient: true };
  }
  return {
    endpointId: endpoint.endpointId,
    containerId: container.id,
    container: container.name,
    networkId: network.id,
    network: network.name,
    ifindex: veth.ifindex,
    device: veth.name,
    bridgeIfindex: bridge.ifindex,
    bridge: bridge.name,
    ip: perFamily((family) => planIp(family, endpoint, network, place)),
    bridging: network.icc && place.host.bridgingObstacle === undefined && !isNatedWithin(veth, place.mode),
    matrix: place.matrix,
    mtu: veth.mtu,
    mac,
    bridgeMac,
  };
}

function planIp(
  family: Family,
  endpoint: EngineEndpoint,
  network: EngineNetwork,
  { isGateway, host }: EndpointPlace,
): PlannedIp | undefined {
  const address = addressOf(endpoint, family);
  if (address === undefined || !host.sysctls.forwarding[family]) return undefined;
  const masquerade =
    isGateway[family] &&
    network.masquerade &&
    !network.internal &&
    isNat(network, family) &&
    host.engineNat[family];
  return {
    address,
    snatAddress: masquerade ? (family === 4 ? network.hostIpv4 : network.hostIpv6) : undefined,
    masquerade,
    filtered: host.routingObstacle[family] !== undefined,
    gateway: isGateway[family],
  };
}

function addressOf(endpoint: EngineEndpoint, family: Family): Address | undefined {
  const address = family === 4 ? endpoint.address4 : endpoint.address6;
  return address !== undefined && isUnicast(address) ? address : undefined;
}

function mayConcern(rule: string | undefined): string {
  return `a rule of yours may concern them (${rule})`;
}

/**
 * Without docker-proxy the engine lets containers of one network reach each other's published ports by NAT: the answers are
 * bridged frames whose source the kernel has to translate back. It puts the ports of such networks into hairpin mode. In mode
 * replace the answers go to the gateway, whatever the engine does to its ports.
 */
function isNatedWithin(veth: NetLink, mode: Mode): boolean {
  return mode === "accelerate" && veth.hairpin === true;
}

/** A container has one veth per bridge at most, so its namespace and its bridge name a veth's host side. */
function vethsByNamespaceAndBridge(links: NetLink[]): Map<string, NetLink> {
  const veths = new Map<string, NetLink>();
  for (const link of [...links].sort((a, b) => a.ifindex - b.ifindex)) {
    if (link.kind !== "veth" || link.linkNetnsid === undefined || link.master === undefined) continue;
    veths.set(`${link.linkNetnsid} ${link.master}`, link);
  }
  return veths;
}

/** Two endpoints with one address or one device can't both be told apart by the datapath: the first one keeps it. */
function withoutDuplicates<T extends { planned: PlannedEndpoint }>(found: T[], warnings: PlanWarning[]): T[] {
  const addresses = new Set<Address>();
  const devices = new Set<number>();
  const ids = new Set<string>();
  return found.filter(({ planned }) => {
    const own = FAMILIES.flatMap((family) => planned.ip[family]?.address ?? []);
    if (own.some((a) => addresses.has(a)) || devices.has(planned.ifindex) || ids.has(planned.endpointId)) {
      warnings.push({
        code: "endpoint_duplicate_address",
        message: `container ${printable(planned.container)} on network ${printable(planned.network)}: another endpoint has its address or device`,
        transient: false,
      });
      return false;
    }
    for (const address of own) addresses.add(address);
    devices.add(planned.ifindex);
    ids.add(planned.endpointId);
    return true;
  });
}

/** Every address that the kernel's "dst-type LOCAL" means, but for loopback and link-local: secondary ones and bridges' too. */
function hostAddresses(host: HostState): Address[] {
  const addresses = host.addresses.flatMap(({ address, family, flags }) => {
    const known = isUnicast(address) ? canonical(address, family) : undefined;
    const usable = known !== undefined && (family === 4 || (flags & NOT_YET) === 0);
    return usable ? [known] : [];
  });
  return [...new Set(addresses)].sort(compareAddresses);
}
