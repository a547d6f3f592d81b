/** From the engine's JSON, validated, to src/docker/model.ts. Pure. */
import { type Address, ANY, canonical, type Family, familyOf, parseMac } from "../ip.js";
import type {
  EngineContainer,
  EngineEndpoint,
  EngineNetwork,
  EngineSubnet,
  PublishedPort,
  RoutedPort,
} from "./model.js";
import type { RawContainer, RawNetwork } from "./schema.js";

const BRIDGE_NAME = "com.docker.network.bridge.name";
const ENABLE_ICC = "com.docker.network.bridge.enable_icc";
const ENABLE_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade";
const GATEWAY_MODE_IPV4 = "com.docker.network.bridge.gateway_mode_ipv4";
const GATEWAY_MODE_IPV6 = "com.docker.network.bridge.gateway_mode_ipv6";
const HOST_IPV4 = "com.docker.network.host_ipv4";
const HOST_IPV6 = "com.docker.network.host_ipv6";
/** Names with ":" between them, of the engine's own writing. */
const TRUSTED_INTERFACES = "com.docker.network.bridge.trusted_host_interfaces";
const DEFAULT_BRIDGE = "com.docker.network.bridge.default_bridge";
const DRIVER_MTU = "com.docker.network.driver.mtu";

export function normaliseNetwork(raw: RawNetwork): EngineNetwork {
  const options = raw.Options ?? {};
  const driver = raw.Driver ?? "";
  const trusted = (options[TRUSTED_INTERFACES] ?? "").split(":").filter((name) => name !== "");
  const mtu = Number(options[DRIVER_MTU] ?? "");
  return {
    id: raw.Id,
    name: raw.Name,
    driver,
    internal: raw.Internal ?? false,
    // Without the option the engine names the bridge so (libnetwork, bridge driver).
    ...(driver === "bridge" ? { bridgeName: options[BRIDGE_NAME] || `br-${raw.Id.slice(0, 12)}` } : {}),
    subnets4: subnets(raw, 4),
    subnets6: subnets(raw, 6),
    ipv6: raw.EnableIPv6 ?? false,
    icc: goBoolean(options[ENABLE_ICC], true),
    masquerade: goBoolean(options[ENABLE_MASQUERADE], true),
    ...optional("hostIpv4", canonical(options[HOST_IPV4] ?? "", 4)),
    ...optional("hostIpv6", canonical(options[HOST_IPV6] ?? "", 6)),
    ...optional("gatewayModeIpv4", options[GATEWAY_MODE_IPV4] || undefined),
    ...optional("gatewayModeIpv6", options[GATEWAY_MODE_IPV6] || undefined),
    ...(trusted.length > 0 ? { trustedInterfaces: trusted } : {}),
    ...(goBoolean(options[DEFAULT_BRIDGE], false) ? { defaultBridge: true } : {}),
    ...(Number.isInteger(mtu) && mtu > 0 ? { mtu } : {}),
    ...onParent(driver, options),
    labels: raw.Labels ?? {},
  };
}

/** The parent and the mode, by the driver's default where none is given. */
function onParent(driver: string, options: Record<string, string>): Pick<EngineNetwork, "parent" | "mode"> {
  if (driver !== "ipvlan" && driver !== "macvlan") return {};
  const mode = driver === "ipvlan" ? options.ipvlan_mode || "l2" : options.macvlan_mode || "bridge";
  return { ...optional("parent", options.parent || undefined), mode };
}

function subnets(raw: RawNetwork, family: Family): EngineSubnet[] {
  return (raw.IPAM?.Config ?? []).flatMap(({ Subnet: cidr = "", Gateway: gateway = "" }) =>
    canonical(cidr.split("/")[0] ?? "", family) === undefined
      ? []
      : [{ cidr, ...(gateway === "" ? {} : { gateway }) }],
  );
}

export function normaliseContainer(raw: RawContainer): EngineContainer {
  const settings = raw.NetworkSettings;
  return {
    id: raw.Id,
    name: raw.Name.replace(/^\//, ""),
    labels: raw.Config?.Labels ?? {},
    running: raw.State.Running,
    paused: raw.State.Paused ?? false,
    networkMode: raw.HostConfig?.NetworkMode ?? "",
    sandboxKey: settings?.SandboxKey ?? "",
    endpoints: endpoints(settings?.Networks ?? {}),
    ...publishedPorts(settings?.Ports ?? {}),
  };
}

type RawNetworks = NonNullable<NonNullable<RawContainer["NetworkSettings"]>["Networks"]>;
type RawPorts = NonNullable<NonNullable<RawContainer["NetworkSettings"]>["Ports"]>;

function endpoints(networks: RawNetworks): EngineEndpoint[] {
  const result: EngineEndpoint[] = [];
  for (const [networkName, e] of Object.entries(networks)) {
    if (e === null) continue;
    const address4 = canonical(e.IPAddress ?? "", 4);
    const address6 = canonical(e.GlobalIPv6Address ?? "", 6);
    const mac = e.MacAddress ?? "";
    result.push({
      networkId: e.NetworkID ?? "",
      networkName,
      endpointId: /^[0-9a-f]{64}$/.test(e.EndpointID ?? "") ? (e.EndpointID ?? "") : "",
      ...(address4 === undefined ? {} : { address4, prefix4: e.IPPrefixLen ?? 32 }),
      ...(address6 === undefined ? {} : { address6, prefix6: e.GlobalIPv6PrefixLen ?? 128 }),
      ...(parseMac(mac) === undefined ? {} : { mac: mac.toLowerCase() }),
      ...optional("gateway4", canonical(e.Gateway ?? "", 4)),
      ...optional("gateway6", canonical(e.IPv6Gateway ?? "", 6)),
      gatewayPriority: e.GwPriority ?? 0,
    });
  }
  return result;
}

/** Keys are "80/tcp"; null or an empty list: exposed, not published. */
function publishedPorts(raw: RawPorts): Pick<EngineContainer, "ports" | "routedPorts"> {
  const ports: PublishedPort[] = [];
  const routedPorts: RoutedPort[] = [];
  for (const [key, bindings] of Object.entries(raw)) {
    const [portText = "", proto = ""] = key.split("/");
    const containerPort = portNumber(portText);
    if (containerPort === undefined || (proto !== "tcp" && proto !== "udp" && proto !== "sctp")) continue;
    for (const binding of bindings ?? []) {
      const hostPort = portNumber(binding.HostPort ?? "");
      // None yet, or none at all.
      for (const hostIp of hostAddresses(binding.HostIp ?? ""))
        if (hostPort === undefined) routedPorts.push({ proto, family: familyOf(hostIp), containerPort });
        else ports.push({ proto, hostIp, hostPort, containerPort });
    }
  }
  return { ports, ...(routedPorts.length > 0 ? { routedPorts } : {}) };
}

/** An empty address means any, of both families; what is no address is nobody's. */
function hostAddresses(text: string): Address[] {
  if (text === "") return [ANY[4], ANY[6]];
  const address = canonical(text);
  return address === undefined ? [] : [address];
}

/** A property that is left out where it has no value. */
function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]?: V });
}

function portNumber(text: string): number | undefined {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return value >= 1 && value <= 65535 ? value : undefined;
}

/** As Go's strconv.ParseBool reads option values; anything else: the default. */
function goBoolean(text: string | undefined, fallback: boolean): boolean {
  if (text === undefined) return fallback;
  if (["1", "t", "T", "TRUE", "true", "True"].includes(text)) return true;
  if (["0", "f", "F", "FALSE", "false", "False"].includes(text)) return false;
  return fallback;
}
