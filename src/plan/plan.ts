/**
 * From one look at the engine and one at the host to what the datapath should be. Pure: the same input gives the same
 * plan, in the same order, whatever order the engine and the kernel listed things in.
 */
import type { EngineContainer, EngineEndpoint, EngineNetwork, EngineState } from "../docker/model.js";
import type { HostState } from "../host/state.js";
import { isUnicast, parseIpv4, parseMac } from "../ipv4.js";
import type { NetLink } from "../native/index.js";
import { gatewayEndpoint } from "./gateway.js";
import { planPorts } from "./ports.js";
import type { GatewayOf, Plan, PlannedEndpoint, PlanOptions, PlanWarning } from "./types.js";
import { planUplinks } from "./uplinks.js";

export function plan(engine: EngineState, host: HostState, options: PlanOptions): Plan {
  const warnings: PlanWarning[] = engine.warnings.map((message) => ({
    code: "engine",
    message,
    transient: true,
  }));
  const { endpoints, gateways } = planEndpoints(engine, host, warnings);
  const engineBridges = new Set(
    engine.networks.flatMap((n) => (n.bridgeName === undefined ? [] : [n.bridgeName])),
  );
  const ports = planPorts(gateways, warnings);
  const uplinks = planUplinks(host, engineBridges, options, warnings);
  const unsure = engine.unsure.filter((id) => !endpoints.some((e) => e.endpointId === id));
  return {
    endpoints,
    ports,
    hostAddresses: hostAddresses(host),
    uplinks,
    unsure: [...new Set(unsure)].sort(compareText),
    warnings: warnings.sort((a, b) => compareText(a.code, b.code) || compareText(a.message, b.message)),
  };
}

function planEndpoints(
  engine: EngineState,
  host: HostState,
  warnings: PlanWarning[],
): { endpoints: PlannedEndpoint[]; gateways: GatewayOf[] } {
  const networks = new Map(engine.networks.map((n) => [n.id, n]));
  const linksByName = new Map(host.links.map((l) => [l.name, l]));
  const veths = vethsByNamespaceAndBridge(host.links);
  const found: { planned: PlannedEndpoint; container: EngineContainer; network: EngineNetwork }[] = [];
  const filtered = new Set<string>();

  for (const container of engine.containers) {
    if (!container.running) continue;
    const gateway = gatewayEndpoint(container.endpoints, networks);
    for (const endpoint of container.endpoints) {
      const network = networks.get(endpoint.networkId);
      if (network === undefined || network.driver !== "bridge") continue;
      const planned = planEndpoint(container, endpoint, network, {
        bridge: linksByName.get(network.bridgeName ?? ""),
        nsid: host.nsids.get(container.sandboxKey),
        veths,
        gateway: endpoint === gateway,
        filteredBridging: host.bridgingObstacle !== undefined,
        filtered: host.routingObstacle !== undefined,
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
      message: `network ${show(name)}: containers reach each other on the slow path: ${mayConcern(host.bridgingObstacle)}`,
      transient: false,
    });
  }
  if (host.routingObstacle !== undefined && found.length > 0) {
    warnings.push({
      code: "connections_filtered",
      message: `new connections are decided by the kernel's firewall rules and go fast once established: ${mayConcern(host.routingObstacle)}`,
      transient: false,
    });
  }

  found.sort((a, b) => compareText(a.planned.endpointId, b.planned.endpointId));
  const kept = withoutDuplicates(found, warnings);
  return {
    endpoints: kept.map(({ planned }) => planned),
    gateways: kept
      .filter(({ planned }) => planned.gateway)
      .map(({ planned, container, network }) => ({ endpoint: planned, container, network })),
  };
}

interface EndpointPlace {
  bridge: NetLink | undefined;
  nsid: number | undefined;
  veths: Map<string, NetLink>;
  gateway: boolean;
  filteredBridging: boolean;
  filtered: boolean;
}

function planEndpoint(
  container: EngineContainer,
  endpoint: EngineEndpoint,
  network: EngineNetwork,
  place: EndpointPlace,
): PlannedEndpoint | PlanWarning {
  const who = `container ${show(container.name)} on network ${show(network.name)}`;
  const { bridge, nsid } = place;
  const bridgeMac = parseMac(bridge?.mac ?? "");
  if (bridge === undefined || bridgeMac === undefined) {
    const message = `${who}: no bridge ${show(network.bridgeName ?? "")} on this host`;
    return { code: "endpoint_without_veth", message, transient: true };
  }
  const address = parseIpv4(endpoint.address4 ?? "");
  const mac = parseMac(endpoint.mac ?? "");
  if (endpoint.endpointId === "" || address === undefined || !isUnicast(address) || mac === undefined) {
    return { code: "endpoint_without_address", message: `${who}: no IPv4 address (yet)`, transient: false };
  }
  const veth = nsid === undefined ? undefined : place.veths.get(`${nsid} ${bridge.ifindex}`);
  if (veth === undefined) {
    return { code: "endpoint_without_veth", message: `${who}: no device of it (yet)`, transient: true };
  }
  const snat = parseIpv4(network.hostIpv4 ?? "") ?? 0;
  const masquerade = place.gateway && network.masquerade && !network.internal && isNat(network);
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
    address,
    snatAddress: masquerade ? snat : 0,
    masquerade,
    bridging: network.icc && !place.filteredBridging && !isNatedWithin(veth),
    filtered: place.filtered,
    mtu: veth.mtu,
    mac,
    bridgeMac,
    gateway: place.gateway,
  };
}

function mayConcern(rule: string | undefined): string {
  return `a rule of yours may concern them (${rule})`;
}

/**
 * Without docker-proxy the engine lets containers of one network reach each other's published ports by NAT: the answers are
 * bridged frames whose source the kernel has to translate back. It puts the ports of such networks into hairpin mode.
 */
function isNatedWithin(veth: NetLink): boolean {
  return veth.hairpin === true;
}

/** Whether the network's gateway translates addresses; "routed" and "isolated" (28+) don't. */
function isNat(network: EngineNetwork): boolean {
  return [undefined, "nat", "nat-unprotected"].includes(network.gatewayModeIpv4);
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
  const addresses = new Set<number>();
  const devices = new Set<number>();
  const ids = new Set<string>();
  return found.filter(({ planned }) => {
    if (addresses.has(planned.address) || devices.has(planned.ifindex) || ids.has(planned.endpointId)) {
      warnings.push({
        code: "endpoint_duplicate_address",
        message: `container ${show(planned.container)} on network ${show(planned.network)}: another endpoint has its address or device`,
        transient: false,
      });
      return false;
    }
    addresses.add(planned.address);
    devices.add(planned.ifindex);
    ids.add(planned.endpointId);
    return true;
  });
}

/** Every address that the kernel's "dst-type LOCAL" means, but for loopback: secondary ones and bridges' too. */
function hostAddresses(host: HostState): number[] {
  const addresses = host.addresses
    .filter((a) => a.family === 4)
    .map((a) => parseIpv4(a.address))
    .filter((a) => a !== undefined && isUnicast(a));
  return [...new Set(addresses as number[])].sort((a, b) => a - b);
}

function show(text: string): string {
  return JSON.stringify(text.slice(0, 80)).slice(1, -1);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
