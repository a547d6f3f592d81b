/** From the engine's JSON, validated, to src/docker/model.ts. Pure. */
import { parseIpv4, parseMac } from "../ipv4.js";
import type { EngineContainer, EngineEndpoint, EngineNetwork, PublishedPort } from "./model.js";
import type { RawContainer, RawNetwork } from "./schema.js";

const BRIDGE_NAME = "com.docker.network.bridge.name";
const ENABLE_ICC = "com.docker.network.bridge.enable_icc";
const ENABLE_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade";
const GATEWAY_MODE_IPV4 = "com.docker.network.bridge.gateway_mode_ipv4";
const HOST_IPV4 = "com.docker.network.host_ipv4";
const DRIVER_MTU = "com.docker.network.driver.mtu";

export function normaliseNetwork(raw: RawNetwork): EngineNetwork {
  const options = raw.Options ?? {};
  const driver = raw.Driver ?? "";
  const subnets = (raw.IPAM?.Config ?? []).filter(
    (c) => parseIpv4((c.Subnet ?? "").split("/")[0] ?? "") !== undefined,
  );
  const mtu = Number(options[DRIVER_MTU] ?? "");
  const hostIpv4 = options[HOST_IPV4] ?? "";
  const gatewayMode = options[GATEWAY_MODE_IPV4] ?? "";
  return {
    id: raw.Id,
    name: raw.Name,
    driver,
    internal: raw.Internal ?? false,
    // Without the option the engine names the bridge so (libnetwork, bridge driver).
    ...(driver === "bridge" ? { bridgeName: options[BRIDGE_NAME] || `br-${raw.Id.slice(0, 12)}` } : {}),
    subnets4: subnets.map((c) => ({
      cidr: c.Subnet ?? "",
      ...(c.Gateway === undefined || c.Gateway === "" ? {} : { gateway: c.Gateway }),
    })),
    icc: goBoolean(options[ENABLE_ICC], true),
    masquerade: goBoolean(options[ENABLE_MASQUERADE], true),
    ...(hostIpv4 !== "" && parseIpv4(hostIpv4) !== undefined ? { hostIpv4 } : {}),
    ...(gatewayMode === "" ? {} : { gatewayModeIpv4: gatewayMode }),
    ...(Number.isInteger(mtu) && mtu > 0 ? { mtu } : {}),
    labels: raw.Labels ?? {},
  };
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
    ports: publishedPorts(settings?.Ports ?? {}),
  };
}

type RawNetworks = NonNullable<NonNullable<RawContainer["NetworkSettings"]>["Networks"]>;
type RawPorts = NonNullable<NonNullable<RawContainer["NetworkSettings"]>["Ports"]>;

function endpoints(networks: RawNetworks): EngineEndpoint[] {
  const result: EngineEndpoint[] = [];
  for (const [networkName, e] of Object.entries(networks)) {
    if (e === null) continue;
    const address4 = e.IPAddress ?? "";
    const gateway4 = e.Gateway ?? "";
    const mac = e.MacAddress ?? "";
    result.push({
      networkId: e.NetworkID ?? "",
      networkName,
      endpointId: /^[0-9a-f]{64}$/.test(e.EndpointID ?? "") ? (e.EndpointID ?? "") : "",
      ...(parseIpv4(address4) === undefined ? {} : { address4, prefix4: e.IPPrefixLen ?? 32 }),
      ...(parseMac(mac) === undefined ? {} : { mac: mac.toLowerCase() }),
      ...(parseIpv4(gateway4) === undefined ? {} : { gateway4 }),
      gatewayPriority: e.GwPriority ?? 0,
    });
  }
  return result;
}

/** Keys are "80/tcp"; null or an empty list: exposed, not published. */
function publishedPorts(ports: RawPorts): PublishedPort[] {
  const result: PublishedPort[] = [];
  for (const [key, bindings] of Object.entries(ports)) {
    const [portText = "", proto = ""] = key.split("/");
    const containerPort = portNumber(portText);
    if (containerPort === undefined || (proto !== "tcp" && proto !== "udp" && proto !== "sctp")) continue;
    for (const binding of bindings ?? []) {
      const hostPort = portNumber(binding.HostPort ?? "");
      // None yet, or none at all (gateway mode "routed").
      if (hostPort === undefined) continue;
      // An empty address means any, of both families.
      result.push({ proto, hostIp: binding.HostIp || "0.0.0.0", hostPort, containerPort });
    }
  }
  return result;
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
