/**
 * What the metrics and the command line read from the datapath. Read-only and synchronous; every call reads the maps
 * anew (batched), except the number of flows, which is counted every few seconds by the sweep.
 */
import type { Address } from "../ip.js";

/**
 * Packets and bytes since the endpoint came to be; summed over all CPUs, exact up to 2^53 (285 years of a million packets a second). Bytes
 * from the IP header on.
 */
export interface TrafficCounter {
  packets: number;
  bytes: number;
}

/** The two ways through the host. */
export interface PathCounters {
  fast: TrafficCounter;
  slow: TrafficCounter;
}

/** One endpoint of the datapath with its names and its counters. Receive is towards the container. */
export interface EndpointReading {
  slot: number;
  generation: number;
  endpointId: string;
  containerId: string;
  container: string;
  network: string;
  /** The container's: IPv4, IPv6 or both. */
  addresses: Address[];
  ifindex: number;
  device: string;
  bridge: string;
  masquerade: boolean;
  bridging: boolean;
  receive: PathCounters;
  transmit: PathCounters;
}

/** Whose something is. */
export interface EndpointNames {
  readonly containerId: string;
  readonly container: string;
  readonly network: string;
}

/** Of one direction: receive is what others open to the container, or send to it. */
export interface DirectionConnections {
  /** Made on the fast path, or (TCP) seen to begin on another way. */
  opened: { tcp: number; udp: number };
  /** TCP handshakes completed, of connections made on the fast path. */
  established: number;
  /** Packets that ask for a connection (SYN without ACK), sent again or not. */
  syn: number;
  /** Packets with RST. */
  rst: number;
  /** In the flow table at the last sweep; undefined: there was none yet. */
  open: { tcp: number; udp: number } | undefined;
  /** Of open TCP connections those whose handshake is not over. */
  halfOpen: number | undefined;
}

/** What became of an endpoint's connections. */
export interface ConnectionReading {
  /** One object as long as the plan has the endpoint. */
  endpoint: EndpointNames;
  receive: DirectionConnections;
  transmit: DirectionConnections;
  /** Source ports of masqueraded connections made on the fast path. */
  snat: { allocated: number; retried: number; failed: number };
}

/** How long the handshakes of a network's connections took, from the SYN to the ACK. */
export interface HandshakeReading {
  network: string;
  direction: "receive" | "transmit";
  /** Upper bounds of the buckets, seconds, ascending; above the last is one more. */
  bounds: readonly number[];
  /** Handshakes in each bucket alone. */
  counts: readonly number[];
  /** Seconds of all together. */
  sum: number;
}

/** Packets that were not fast, by the reason why. */
export interface ReasonReading extends TrafficCounter {
  containerId: string | undefined;
  /** The endpoint's names; undefined where the packet belongs to no endpoint that is known. */
  container: string | undefined;
  network: string | undefined;
  direction: "receive" | "transmit";
  verdict: "slow" | "drop";
  /** Lower case, from bpf/lib/types.h: "not_ip", "malformed", ... */
  reason: string;
}

/** What one container has sent another of its network. */
export interface PairReading extends TrafficCounter {
  network: string;
  from: string;
  to: string;
}

/** What XDP has done with the packets of an uplink at which it is attached, since it is. */
export interface XdpReading {
  device: string;
  passed: number;
  /** Those for endpoints too. */
  dropped: number;
}

/** How full a map is. Arrays say how many slots are in use. */
export interface MapReading {
  map: string;
  entries: number;
  maxEntries: number;
  /** Writes of the control plane that failed because it was full. */
  failedWrites: number;
}

/** What the kernel has counted of a program; both are 0 unless kernel.bpf_stats_enabled is or was 1. */
export interface ProgramReading {
  program: string;
  runs: number;
  runTimeNs: number;
}

/** How often a program of ours was found detached by somebody else, since the start. */
export interface DetachedReading {
  program: string;
  times: number;
}

export interface FlowsReading {
  /** Entries of the flow tables of both families, one per direction, at the last count. */
  entries: number;
  maxEntries: number;
  /** Entries that were ever inserted, and those that were forgotten to make room. */
  inserted: number;
  evicted: number;
  /** When it was counted (ms of the epoch); 0: not yet. */
  countedAt: number;
}

export interface PortReading {
  proto: "tcp" | "udp";
  /** "0.0.0.0", "::": any of the host's. */
  address: Address;
  port: number;
  /** Address and port as text. */
  published: string;
  containerId: string;
  container: string;
  network: string;
  containerAddress: Address;
  containerPort: number;
}

/** What was counted of a published port since it leads to its container, over all CPUs. */
export interface PortCountReading {
  port: PortReading;
  /** Towards the container, on both paths. */
  receive: TrafficCounter;
  transmit: TrafficCounter;
  /** Connections that were made on the fast path. */
  opened: number;
  /** Packets that its policy has refused. */
  refused: number;
}

/** Sockets of the host's processes that dialled a published port. */
export interface HostPortReading extends PortReading {
  /** Led straight to the container. */
  led: number;
  /** Left on the engine's own way, by the reason why: lower case, from bpf/lib/types.h; only those that there are. */
  left: Readonly<Record<string, number>>;
}

/**
 * What takes long on a large host comes in steps, each a millisecond or two: between two of them others may have their turn,
 * and what they change may be in the later steps. A step's readings are good until the next scrape: some are used again then.
 */
export interface DatapathReader {
  endpoints(): EndpointReading[];
  /** The same in steps; no endpoint twice. */
  endpointSteps(): Iterable<EndpointReading[]>;
  /** Every endpoint's connections, in steps. */
  connectionSteps(): Iterable<ConnectionReading[]>;
  handshakes(): HandshakeReading[];
  reasons(): ReasonReading[];
  reasonSteps(): Iterable<ReasonReading[]>;
  /** Of the networks that are counted by pair, in steps. */
  pairSteps(): Iterable<PairReading[]>;
  /** Packets of these networks that are in no pair: there were too many. */
  pairsUncounted(): number;
  xdp(): XdpReading[];
  maps(): MapReading[];
  /** undefined: a step on the way to the next map. */
  mapSteps(): Iterable<MapReading | undefined>;
  programs(): ProgramReading[];
  detached(): DetachedReading[];
  flows(): FlowsReading;
  /** The same list until there is another plan. */
  ports(): readonly PortReading[];
  /** Of ports for which there was something to count; in steps. */
  portCountSteps(): Iterable<PortCountReading[]>;
  /** Those that have been dialled. */
  hostPorts(): HostPortReading[];
  hostPortSteps(): Iterable<HostPortReading[]>;
  /** The network of every endpoint that is in the datapath; reads no map. */
  placements(): { network: string }[];
}
