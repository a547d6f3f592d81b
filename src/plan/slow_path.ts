/**
 * Mode replace: what the kernel's own rules have to be where the engine writes none, from the same look at engine and host as
 * the rest of the plan. Pure.
 */

import type { EngineNetwork, EngineState } from "../docker/model.js";
import { type Address, FAMILIES, type Family, type PerFamily, perFamily } from "../ip.js";
import { compareText } from "../text.js";
import { gatewayEndpoints } from "./gateway.js";
import { isNat } from "./nat.js";

/** What com.docker.network.bridge.gateway_mode_ipv4 and _ipv6 may be. */
export type GatewayMode = "nat" | "nat-unprotected" | "routed" | "isolated";

/** The slow path of every bridge network of the engine's. */
export interface SlowPath {
  /** Sorted by bridge. */
  networks: SlowNetwork[];
  /** Sorted by protocol, address and port. */
  ports: SlowPort[];
  /** Containers' own ports that anybody may dial at their own addresses; sorted as text. */
  routedPorts: RoutedSlowPort[];
  /**
   * The ifindexes of the bridges that have been looked at, the engine's and others', sorted. What any other bridge's are is not known
   * yet: nothing is forwarded from or to them.
   */
  bridges: number[];
}

export interface SlowNetwork {
  /** The device's name. */
  bridge: string;
  internal: boolean;
  /** Containers of it reach each other. */
  icc: boolean;
  /** Devices from which published ports may be dialled at the containers' own addresses; sorted. */
  trusted: string[];
  /** Undefined: it has no subnet of that family. */
  ip: PerFamily<SlowIp | undefined>;
}

export interface SlowIp {
  subnets: string[];
  gatewayMode: GatewayMode;
  masquerade: boolean;
  /** Masquerade to this address; undefined: to the one that the kernel chooses. */
  snatAddress: Address | undefined;
}

export interface SlowPort {
  family: Family;
  /** The endpoint it leads to. */
  endpointId: string;
  proto: "tcp" | "udp" | "sctp";
  /** The host's; "0.0.0.0", "::": any. */
  address: Address;
  port: number;
  containerAddress: Address;
  containerPort: number;
}

export interface RoutedSlowPort {
  family: Family;
  endpointId: string;
  proto: "tcp" | "udp" | "sctp";
  address: Address;
  port: number;
}

/**
 * @param bridges as in SlowPath
 * @param before the last plan: ports of endpoints that the engine could not tell more of stay as they were
 */
export function planSlowPath(
  engine: EngineState,
  bridges: readonly number[] = [],
  before?: SlowPath,
): SlowPath {
  const networks = new Map(bridgeNetworks(engine).map((n) => [n.id, n]));
  return {
    networks: planSlowNetworks(engine),
    ports: slowPorts(engine, networks, before?.ports ?? []),
    routedPorts: routedPorts(engine, networks, before?.routedPorts ?? []),
    bridges: [...bridges].sort((a, b) => a - b),
  };
}

const asIf = new WeakMap<EngineState, EngineState>();

/**
 * The engine's state with what its settings would be if it wrote rules: one that writes none says of its default bridge that it is not
 * masqueraded, whatever it was told. The same object for the same state, for then there is nothing to be planned anew.
 */
export function asIfItWroteRules(engine: EngineState): EngineState {
  const known = asIf.get(engine);
  if (known !== undefined) return known;
  const networks = engine.networks.map((n) => (n.defaultBridge ? { ...n, masquerade: true } : n));
  const changed = { ...engine, networks };
  asIf.set(engine, changed);
  return changed;
}

/** Of every bridge network; sorted by bridge. */
export function planSlowNetworks(engine: EngineState): SlowNetwork[] {
  const networks = bridgeNetworks(engine).map(
    (network): SlowNetwork => ({
      bridge: network.bridgeName ?? "",
      internal: network.internal,
      icc: network.icc,
      trusted: [...(network.trustedInterfaces ?? [])].sort(compareText),
      ip: perFamily((family) => slowIp(network, family)),
    }),
  );
  return networks.sort((a, b) => compareText(a.bridge, b.bridge));
}

function bridgeNetworks(engine: EngineState): EngineNetwork[] {
  return engine.networks.filter((n) => n.driver === "bridge" && n.bridgeName !== undefined);
}

function slowIp(network: EngineNetwork, family: Family): SlowIp | undefined {
  const subnets = (family === 4 ? network.subnets4 : network.subnets6).map(({ cidr }) => cidr);
  if (subnets.length === 0) return undefined;
  const named = family === 4 ? network.gatewayModeIpv4 : network.gatewayModeIpv6;
  return {
    subnets: subnets.sort(compareText),
    gatewayMode: gatewayMode(named),
    masquerade: network.masquerade && !network.internal && isNat(network, family),
    snatAddress: family === 4 ? network.hostIpv4 : network.hostIpv6,
  };
}

/** One that is not known yet is protected as the default is, and not translated. */
function gatewayMode(name: string | undefined): GatewayMode {
  if (name === undefined || name === "nat") return "nat";
  return name === "nat-unprotected" || name === "routed" ? name : "isolated";
}

function slowPorts(
  engine: EngineState,
  networks: ReadonlyMap<string, EngineNetwork>,
  before: readonly SlowPort[],
): SlowPort[] {
  const unsure = new Set(engine.unsure);
  const held = before.filter(({ endpointId }) => unsure.has(endpointId));
  const byKey = new Map(held.map((port) => [`${port.proto} ${port.address} ${port.port}`, port]));
  for (const container of engine.containers) {
    if (!container.running) continue;
    const gateways = gatewayEndpoints(container.endpoints, networks);
    for (const family of FAMILIES) {
      const endpoint = gateways[family];
      const network = networks.get(endpoint?.networkId ?? "");
      const address = family === 4 ? endpoint?.address4 : endpoint?.address6;
      if (network === undefined || address === undefined || !isNat(network, family)) continue;
      for (const { proto, hostIp, hostPort, containerPort } of container.ports) {
        if (hostIp.includes(":") !== (family === 6)) continue;
        const key = `${proto} ${hostIp} ${hostPort}`;
        if (byKey.has(key)) continue;
        byKey.set(key, {
          family,
          endpointId: endpoint?.endpointId ?? "",
          proto,
          address: hostIp,
          port: hostPort,
          containerAddress: address,
          containerPort,
        });
      }
    }
  }
  return [...byKey.keys()].sort(compareText).flatMap((key) => byKey.get(key) ?? []);
}

/** Of endpoints in networks whose gateway routes: as the gateway endpoint of the container, or the engine does not open them. */
function routedPorts(
  engine: EngineState,
  networks: ReadonlyMap<string, EngineNetwork>,
  before: readonly RoutedSlowPort[],
): RoutedSlowPort[] {
  const unsure = new Set(engine.unsure);
  const keyOf = ({ proto, address, port }: RoutedSlowPort) => `${proto} ${address} ${port}`;
  const byKey = new Map<string, RoutedSlowPort>();
  for (const port of before) if (unsure.has(port.endpointId)) byKey.set(keyOf(port), port);
  for (const container of engine.containers) {
    if (!container.running) continue;
    const gateways = gatewayEndpoints(container.endpoints, networks);
    for (const { proto, family, containerPort } of container.routedPorts ?? []) {
      const endpoint = gateways[family];
      const network = networks.get(endpoint?.networkId ?? "");
      const address = family === 4 ? endpoint?.address4 : endpoint?.address6;
      if (endpoint === undefined || network === undefined || address === undefined) continue;
      if (slowIp(network, family)?.gatewayMode !== "routed") continue;
      const port = { family, endpointId: endpoint.endpointId, proto, address, port: containerPort };
      byKey.set(keyOf(port), port);
    }
  }
  return [...byKey.keys()].sort(compareText).flatMap((key) => byKey.get(key) ?? []);
}
