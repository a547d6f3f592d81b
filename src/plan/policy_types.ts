/** Who may come in, as planned: what the configuration's lists and the containers' labels amount to. */

import type { Address } from "../ip.js";
import type { Network } from "../networks.js";

/** New connections per source. */
export interface ConnectionLimit {
  /** Per 1000 seconds. */
  rate: number;
  /** How many at once. */
  burst: number;
}

export const XDP_MODES = ["auto", "on", "off"] as const;
export type XdpMode = (typeof XDP_MODES)[number];

/** What the configuration says. */
export interface PolicyOptions {
  allow?: readonly Network[];
  deny?: readonly Network[];
  /** Default "auto": where there is a list or a limit. */
  xdp?: XdpMode;
}

export interface PlannedPolicy {
  /** The host's own list: what is on none is allowed. */
  sources: SourceList;
  /** Sorted by container, protocol, address and port. */
  ports: PlannedPortPolicy[];
  /** The uplinks at which XDP is to look. */
  xdp: PlannedXdp[];
}

/** Networks with what is to be of their sources; the longest prefix decides. */
export interface SourceList {
  readonly allow: readonly Network[];
  readonly deny: readonly Network[];
}

export interface PlannedPortPolicy {
  containerId: string;
  proto: "tcp" | "udp" | "sctp";
  /** As PlannedPort; loopback addresses and those of containers without an endpoint of ours too. */
  address: Address;
  port: number;
  list: SourceList;
  /** Sources that are on no list are refused. */
  unlistedRefused: boolean;
  limit: ConnectionLimit | undefined;
}

export interface PlannedXdp {
  ifindex: number;
  name: string;
  mtu: number;
  /** Uplinks on top of it (VLANs, macvlans): what comes in there has come in here. */
  above: number[];
  /** The host's own addresses may be the source of what comes in: they can belong to a device on top of it, or to a VRF. */
  ownSources: boolean;
}
