/** Endpoints on ipvlan and macvlan, and what their parents and the host need for them. Pure. */
import type { EngineContainer, EngineEndpoint, EngineNetwork, EngineState } from "../docker/model.js";
import { isUp } from "../host/devices.js";
import type { HostState } from "../host/state.js";
import {
  type Address,
  ANY,
  FAMILIES,
  type Family,
  isUnicast,
  type PerFamily,
  parseMac,
  perFamily,
} from "../ip.js";
import type { NetLink } from "../native/index.js";
import { formatNetwork, type Network, networkHas, networkOf } from "../networks.js";
import { compareText, printable } from "../text.js";
import { PUBLISH } from "./labels.js";
import {
  type NetworkLabels,
  type PublishedLabel,
  readNetworkLabels,
  readPublishLabel,
} from "./parent_labels.js";
import type {
  PlannedEndpoint,
  PlannedHostRoute,
  PlannedParent,
  PlannedParentSubnet,
  PlannedPort,
  PlannedUplink,
  PlanWarning,
} from "./types.js";

/** PARENT_CHILD of bpf/lib/types.h. */
const PARENT_CHILD = 0x80000000;
/** RT_SCOPE_UNIVERSE of linux/rtnetlink.h. */
const GLOBAL = 0;

/** What the plan has of ipvlan and macvlan. */
export interface ParentPlan {
  /** Sorted by endpoint id. */
  endpoints: PlannedEndpoint[];
  /** Sorted by ifindex. */
  parents: PlannedParent[];
  ports: PlannedPort[];
  hostRoutes: PlannedHostRoute[];
  parentSubnets: PlannedParentSubnet[];
}

interface Found {
  planned: PlannedEndpoint;
  network: EngineNetwork;
  labels: NetworkLabels;
  published: PublishedLabel[];
}

/** A network on a parent of this host. */
interface OnParent {
  network: EngineNetwork;
  parent: NetLink;
  labels: NetworkLabels;
}

/** @param taken addresses of other endpoints, which these must not have */
export function planParents(
  engine: EngineState,
  host: HostState,
  uplinks: readonly PlannedUplink[],
  taken: ReadonlySet<Address>,
  warnings: PlanWarning[],
): ParentPlan {
  const links = new Map(host.links.map((link) => [link.name, link]));
  const networks = new Map<string, OnParent>();
  for (const network of engine.networks) {
    const parent = links.get(network.parent ?? "");
    if ((network.driver !== "ipvlan" && network.driver !== "macvlan") || parent === undefined) continue;
    const { labels, problems } = readNetworkLabels(network);
    for (const problem of problems) warnings.push(warning(`network ${printable(network.name)}: ${problem}`));
    networks.set(network.id, { network, parent, labels });
  }
  const known = new Set(taken);
  const found: Found[] = [];
  for (const container of engine.containers) {
    if (!container.running) continue;
    for (const endpoint of container.endpoints) {
      const on = networks.get(endpoint.networkId);
      if (on === undefined || endpoint.endpointId === "" || !isUp(on.parent)) continue;
      const own = FAMILIES.flatMap((family) => addressOf(endpoint, family) ?? []);
      if (own.length === 0 || own.some((address) => known.has(address))) continue;
      for (const address of own) known.add(address);
      const { published, problems } = readPublishLabel(container.labels);
      for (const problem of problems)
        warnings.push(warning(`container ${printable(container.name)}: ${problem}`));
      const uplink = uplinks.find(({ ifindex }) => ifindex === on.parent.ifindex);
      if (published.length > 0 && uplink === undefined)
        warnings.push(warning(notPublished(container, on.parent)));
      const planned = planEndpoint(container, endpoint, { ...on, host, uplink, published });
      if (planned !== undefined) found.push({ planned, network: on.network, labels: on.labels, published });
    }
  }
  found.sort((a, b) => compareText(a.planned.endpointId, b.planned.endpointId));
  return {
    endpoints: found.map(({ planned }) => planned),
    parents: planDevices(found),
    ports: found.flatMap((one) => planPublished(one, host)),
    hostRoutes: sortedRoutes([...planHostRoutes(found, host), ...planThroughRoutes(found, host)]),
    parentSubnets: planSubnets([...networks.values()], host),
  };
}

interface Place {
  network: EngineNetwork;
  parent: NetLink;
  labels: NetworkLabels;
  host: HostState;
  uplink: PlannedUplink | undefined;
  published: PublishedLabel[];
}

function planEndpoint(
  container: EngineContainer,
  endpoint: EngineEndpoint,
  { network, parent, labels, host, uplink, published }: Place,
): PlannedEndpoint | undefined {
  const parentMac = parseMac(parent.mac ?? "");
  // An ipvlan device has its parent's.
  const mac = network.driver === "ipvlan" ? parentMac : parseMac(endpoint.mac ?? "");
  if (mac === undefined || parentMac === undefined) return undefined;
  const ip = perFamily((family) => {
    const address = addressOf(endpoint, family);
    if (address === undefined) return undefined;
    const source = family === 4 ? uplink?.addresses[0] : uplink?.ipv6;
    const masquerade =
      labels.masquerade && isRouted(network) && source !== undefined && host.sysctls.forwarding[family];
    const announced = labels.announce && isRouted(network) && isOnLink(host, parent.ifindex, family, address);
    return {
      ...{ address, snatAddress: undefined, masquerade, filtered: false, gateway: true },
      ...(announced ? { announced } : {}),
    };
  });
  return {
    endpointId: endpoint.endpointId,
    containerId: container.id,
    container: container.name,
    networkId: network.id,
    network: network.name,
    ifindex: PARENT_CHILD + parent.ifindex,
    device: parent.name,
    bridgeIfindex: parent.ifindex,
    bridge: parent.name,
    ip,
    bridging: false,
    matrix: false,
    mtu: parent.mtu,
    mac,
    bridgeMac: parentMac,
    parent: {
      driver: network.driver === "ipvlan" ? "ipvlan" : "macvlan",
      mode: network.mode ?? "",
      host: labels.host,
      translated:
        FAMILIES.some((family) => ip[family]?.masquerade) || (uplink !== undefined && published.length > 0),
      network: numberOf(network),
      route: labels.route,
    },
  };
}

/** ipvlan's modes in which the container's packets pass the host's routing. */
function isRouted({ driver, mode }: EngineNetwork): boolean {
  return driver === "ipvlan" && (mode === "l3" || mode === "l3s");
}

function planDevices(found: readonly Found[]): PlannedParent[] {
  const parents = new Map<number, Omit<PlannedParent, "ifindex">>();
  for (const { planned, network } of found) {
    const parent = parents.get(planned.bridgeIfindex) ?? {
      name: planned.bridge,
      untracked: [],
      announced: [],
    };
    parents.set(planned.bridgeIfindex, parent);
    for (const family of FAMILIES) {
      const { address, announced } = planned.ip[family] ?? {};
      if (announced && address !== undefined) parent.announced.push(address);
    }
    if (!planned.parent?.translated || !isRouted(network)) continue;
    parent.untracked.push(...FAMILIES.flatMap((family) => planned.ip[family]?.address ?? []));
  }
  return [...parents]
    .map(([ifindex, { name, untracked, announced }]) => ({
      ...{ ifindex, name },
      untracked: untracked.sort(compareText),
      announced: announced.sort(compareText),
    }))
    .sort((a, b) => a.ifindex - b.ifindex);
}

/** `fairway.publish`: on every address of the parent, of each family that the container has. */
function planPublished({ planned, published }: Found, host: HostState): PlannedPort[] {
  if (!planned.parent?.translated) return [];
  return published.flatMap(({ hostPort, containerPort, proto }) =>
    globalAddresses(host, planned.bridgeIfindex).flatMap(({ family, address }) => {
      const containerAddress = planned.ip[family]?.address;
      if (containerAddress === undefined || !host.sysctls.forwarding[family]) return [];
      const { endpointId } = planned;
      return [{ proto, address, port: hostPort, endpointId, containerAddress, containerPort }];
    }),
  );
}

/**
 * How the host finds its way to the parent: by a route for what is not on its link anyway. The subnets of an ipvlan l3 network
 * are its own; in another's there may be other machines, so there it is an address at a time.
 */
function planHostRoutes(found: readonly Found[], host: HostState): PlannedHostRoute[] {
  const routes = new Map<string, PlannedHostRoute>();
  for (const { planned, network } of found) {
    if (!planned.parent?.host) continue;
    for (const family of FAMILIES) {
      const address = planned.ip[family]?.address;
      if (address === undefined) continue;
      if (isOnLink(host, planned.bridgeIfindex, family, address)) continue;
      const destination = isRouted(network)
        ? subnetOf(network, family, address)
        : networkOf(address, family === 4 ? 32 : 128);
      if (destination === undefined) continue;
      const route = {
        destination: formatNetwork(destination),
        ifindex: planned.bridgeIfindex,
        device: planned.bridge,
      };
      routes.set(`${route.destination} ${route.ifindex}`, route);
    }
  }
  return [...routes.values()];
}

/**
 * What a container in ipvlan's routed modes sends takes a route by its own parent, or none. Where the host has no default route there,
 * containers of other parents that it may reach need one.
 */
function planThroughRoutes(found: readonly Found[], host: HostState): PlannedHostRoute[] {
  const routes = new Map<string, PlannedHostRoute>();
  const routed = found.filter(({ labels }) => labels.route);
  for (const { planned: from } of routed.filter(({ network }) => isRouted(network))) {
    for (const { planned: to, network } of routed) {
      if (to.bridgeIfindex === from.bridgeIfindex || to.networkId === from.networkId) continue;
      for (const family of FAMILIES) {
        const address = to.ip[family]?.address;
        if (address === undefined || from.ip[family] === undefined) continue;
        if (host.defaultRoutes.some((r) => r.family === family && r.oif === from.bridgeIfindex)) continue;
        const destination = isRouted(network)
          ? subnetOf(network, family, address)
          : networkOf(address, family === 4 ? 32 : 128);
        if (destination === undefined) continue;
        const { bridgeIfindex: ifindex, bridge: device } = from;
        const route = { destination: formatNetwork(destination), ifindex, device, through: true };
        routes.set(`${route.destination} ${ifindex}`, route);
      }
    }
  }
  return [...routes.values()];
}

function sortedRoutes(routes: PlannedHostRoute[]): PlannedHostRoute[] {
  return routes.sort((a, b) => compareText(a.destination, b.destination) || a.ifindex - b.ifindex);
}

/** The subnets of routed networks, whether they have containers or not. */
function planSubnets(networks: readonly OnParent[], host: HostState): PlannedParentSubnet[] {
  const planned: PlannedParentSubnet[] = [];
  for (const { network, parent } of networks.filter(({ labels }) => labels.route)) {
    for (const family of FAMILIES) {
      for (const { cidr, gateway } of family === 4 ? network.subnets4 : network.subnets6) {
        const subnet = networkOfCidr(cidr);
        const router =
          globalAddresses(host, parent.ifindex, family)[0]?.address ?? gateway ?? hostAddress(host, family);
        const shared = host.addresses.some((own) => {
          const link = networkOf(own.address, own.prefixLength);
          return (
            own.family === family && (networkHas(link, subnet.address) || networkHas(subnet, own.address))
          );
        });
        const own = isRouted(network) && !shared;
        planned.push({ subnet: formatNetwork(subnet), network: numberOf(network), own, router });
      }
    }
  }
  return planned.sort((a, b) => compareText(a.subnet, b.subnet));
}

/** One under which the host is known: by preference where it has a default route. ANY: it has none. */
function hostAddress(host: HostState, family: Family): Address {
  const outside = host.defaultRoutes.filter((route) => route.family === family).map(({ oif }) => oif);
  const devices = [...outside, ...host.links.map(({ ifindex }) => ifindex)];
  return devices.flatMap((ifindex) => globalAddresses(host, ifindex, family))[0]?.address ?? ANY[family];
}

/** The first four bytes of its id. */
function numberOf({ id }: EngineNetwork): number {
  return Number.parseInt(id.slice(0, 8), 16) || 0;
}

function isOnLink(host: HostState, ifindex: number, family: Family, address: Address): boolean {
  return globalAddresses(host, ifindex, family).some((own) =>
    networkHas(networkOf(own.address, own.prefixLength), address),
  );
}

function subnetOf(network: EngineNetwork, family: Family, address: Address): Network | undefined {
  for (const { cidr } of family === 4 ? network.subnets4 : network.subnets6) {
    const subnet = networkOfCidr(cidr);
    if (networkHas(subnet, address)) return subnet;
  }
  return undefined;
}

function networkOfCidr(cidr: string): Network {
  const [first = "", length = ""] = cidr.split("/");
  return networkOf(first, Number(length));
}

function globalAddresses(host: HostState, ifindex: number, family?: Family) {
  return host.addresses.filter(
    (a) =>
      a.ifindex === ifindex &&
      a.scope === GLOBAL &&
      isUnicast(a.address) &&
      (family === undefined || a.family === family),
  );
}

function addressOf(endpoint: EngineEndpoint, family: Family): Address | undefined {
  const address = family === 4 ? endpoint.address4 : endpoint.address6;
  return address !== undefined && isUnicast(address) ? address : undefined;
}

/** The addresses of endpoints. */
export function addressesOfPlanned(
  endpoints: readonly { ip: PerFamily<{ address: Address } | undefined> }[],
): Set<Address> {
  return new Set(endpoints.flatMap(({ ip }) => FAMILIES.flatMap((family) => ip[family]?.address ?? [])));
}

/** As on a VLAN's device that the engine has made: it gives it no address. */
function notPublished({ name }: EngineContainer, parent: NetLink): string {
  const why = `${parent.name} is no uplink: it has no address of the host's, or --uplink names others`;
  return `container ${printable(name)}: label ${PUBLISH} has no effect, ${why}`;
}

function warning(message: string): PlanWarning {
  return { code: "parent_label", message, transient: false };
}
