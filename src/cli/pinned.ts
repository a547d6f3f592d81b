import { decodePerCpu } from "../codec.js";
import { addressesOf } from "../datapath/families.js";
import type { Maps } from "../datapath/maps.js";
import { PinnedMaps } from "../datapath/pinned_maps.js";
import { Pins } from "../datapath/pins.js";
import { Direction, EndpointFlags, EndpointIpFlags, TrafficPath } from "../generated/index.js";
import { listLinks } from "../native/index.js";

/** What is pinned, as it can be seen without the daemon: no names of containers, those are the engine's. */
export interface PinnedState {
  bpffs: string;
  /** "uplink_ingress-12" */
  links: string[];
  programs: string[];
  maps: string[];
  endpoints: PinnedEndpoint[];
  ports: number;
  /** Entries of the flow tables now. */
  flows: number;
  flowsMax: number;
}

export interface PinnedEndpoint {
  slot: number;
  addresses: string[];
  device: string;
  masquerade: boolean;
  bridging: boolean;
  /** Packets since the endpoint came to be. */
  receive: PathPackets;
  transmit: PathPackets;
}

export interface PathPackets {
  fast: number;
  slow: number;
}

/**
 * Reads the pinned datapath.
 * @returns undefined when there is none
 * @throws NativeError when a pinned map can't be read
 */
export function readPinned(bpffs: string): PinnedState | undefined {
  const pins = new Pins(bpffs);
  const names = {
    links: pins.list(pins.links),
    programs: pins.list(pins.programs),
    maps: pins.list(pins.maps),
  };
  if (names.maps.length === 0) return undefined;
  const pinned = PinnedMaps.open(pins);
  try {
    const { maps } = pinned;
    const devices = new Map(listLinks().map((link) => [link.ifindex, link.name]));
    const endpoints = [...maps.endpoints.entries(4096)]
      .filter(({ value }) => value.generation !== 0)
      .map(({ key, value }) => ({
        slot: key,
        addresses: addressesOf(value),
        device: devices.get(value.ifindex) ?? `gone (${value.ifindex})`,
        masquerade: ((value.ipv4.flags | value.ipv6.flags) & EndpointIpFlags.MASQUERADE) !== 0,
        bridging: (value.flags & EndpointFlags.BRIDGING) !== 0,
        ...packetsOf(maps, key),
      }));
    return {
      bpffs,
      ...names,
      endpoints,
      ports: count(maps.ports_ipv4.kernel.entries(4096)) + count(maps.ports_ipv6.kernel.entries(4096)),
      flows: count(maps.flows_ipv4.kernel.entries(4096)) + count(maps.flows_ipv6.kernel.entries(4096)),
      flowsMax: maps.flows_ipv4.maxEntries + maps.flows_ipv6.maxEntries,
    };
  } finally {
    pinned.close();
  }
}

/** The counters of a slot, over all CPUs. */
function packetsOf(maps: Maps, slot: number): { receive: PathPackets; transmit: PathPackets } {
  const { kernel, key, value } = maps.endpoint_counters;
  const bytes = kernel.get(key.encode(slot));
  const cpus = bytes === undefined ? [] : decodePerCpu(value, bytes);
  const sum = (direction: number, path: number) =>
    cpus.reduce((total, cpu) => total + Number(cpu.path[direction]?.[path]?.packets ?? 0n), 0);
  const both = (direction: number) => ({
    fast: sum(direction, TrafficPath.FAST),
    slow: sum(direction, TrafficPath.SLOW),
  });
  return { receive: both(Direction.RECEIVE), transmit: both(Direction.TRANSMIT) };
}

function count(entries: Iterable<unknown>): number {
  let total = 0;
  for (const _ of entries) total++;
  return total;
}
