/**
 * The engine as the planner sees it: what the API answered, validated, normalised over the API versions 1.41 to 1.52,
 * and cut to the fields that matter. Nothing here is trusted further than its type: names and labels are whatever users
 * wrote, only their length is limited.
 */
import type { Address, Family } from "../ip.js";

/** One look at the engine: every network and every running container, as of one pass of list and inspect. */
export interface EngineState {
  /** The engine's own version, e.g. "28.3.1". */
  version: string;
  /** The API version negotiated, e.g. "1.51". */
  apiVersion: string;
  networks: EngineNetwork[];
  containers: EngineContainer[];
  /** Ids of endpoints that exist but of which no more could be learned in this pass: they are left as they are. */
  unsure: string[];
  /** What was left out because the engine's answer made no sense, or did not come in time. One line each. */
  warnings: string[];
}

/** One subnet of a network. */
export interface EngineSubnet {
  /** "172.18.0.0/16" */
  cidr: string;
  /** The gateway's address; the bridge's own, unless the network is internal or `inhibit_ipv4` is set. */
  gateway?: string;
}

export interface EngineNetwork {
  id: string;
  name: string;
  /** "bridge", "host", "null", "macvlan", "ipvlan", "overlay" or a plug-in's name. */
  driver: string;
  internal: boolean;
  /** The Linux bridge's name; only of driver "bridge". */
  bridgeName?: string;
  subnets4: EngineSubnet[];
  subnets6: EngineSubnet[];
  /** EnableIPv6 */
  ipv6: boolean;
  /** com.docker.network.bridge.enable_icc */
  icc: boolean;
  /** com.docker.network.bridge.enable_ip_masquerade */
  masquerade: boolean;
  /** com.docker.network.host_ipv4: masquerade to this address. */
  hostIpv4?: Address;
  /** com.docker.network.host_ipv6 */
  hostIpv6?: Address;
  /** com.docker.network.bridge.gateway_mode_ipv4, where it is not the default "nat". */
  gatewayModeIpv4?: string;
  /** com.docker.network.bridge.gateway_mode_ipv6 */
  gatewayModeIpv6?: string;
  /**
   * com.docker.network.bridge.trusted_host_interfaces (28+): devices from which published ports may be dialled at
   * the containers' own addresses.
   */
  trustedInterfaces?: string[];
  /** It is the engine's own default bridge. */
  defaultBridge?: boolean;
  /** com.docker.network.driver.mtu */
  mtu?: number;
  /** The option of ipvlan's and macvlan's: the device that it is on; absent where the engine made a dummy one. */
  parent?: string;
  /** ipvlan_mode or macvlan_mode: "l2", "l3", "l3s"; "bridge", "private", "vepa", "passthru". */
  mode?: string;
  labels: Record<string, string>;
}

export interface EngineContainer {
  id: string;
  /** Without the leading slash. */
  name: string;
  labels: Record<string, string>;
  running: boolean;
  paused: boolean;
  /** HostConfig.NetworkMode: "default", "bridge", a network's name or id, "host", "none", "container:ID". */
  networkMode: string;
  /** The file that names the container's network namespace; empty while it has none. */
  sandboxKey: string;
  endpoints: EngineEndpoint[];
  ports: PublishedPort[];
  /** Published without a port of the host's, as the gateway mode "routed" does; left out where there are none. */
  routedPorts?: RoutedPort[];
}

/** A container's attachment to one network. */
export interface EngineEndpoint {
  networkId: string;
  /** The key under NetworkSettings.Networks. */
  networkName: string;
  /** 64 hexadecimal digits; empty while the endpoint does not exist yet. */
  endpointId: string;
  address4?: Address;
  prefix4?: number;
  /** GlobalIPv6Address */
  address6?: Address;
  prefix6?: number;
  /** "02:42:ac:12:00:02", lower case. */
  mac?: string;
  gateway4?: Address;
  gateway6?: Address;
  /** GwPriority (28+): the endpoint of the highest one is the container's gateway. 0 where the engine knows none. */
  gatewayPriority: number;
}

/** One line of NetworkSettings.Ports: what the engine has in fact bound, not what was asked for. */
export interface PublishedPort {
  proto: "tcp" | "udp" | "sctp";
  /** "0.0.0.0", "127.0.0.1", "::", ... */
  hostIp: Address;
  hostPort: number;
  containerPort: number;
}

/** A line of NetworkSettings.Ports without a host port: dialled at the container's own address. */
export interface RoutedPort {
  proto: "tcp" | "udp" | "sctp";
  family: Family;
  containerPort: number;
}
