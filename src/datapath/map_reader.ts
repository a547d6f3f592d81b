import { decodePerCpu } from "../codec.js";
import {
  type Counter,
  Direction,
  EndpointFlags,
  EndpointIpFlags,
  type FlowTableCounters,
  HostOutcome,
  HostOutcomeName,
  type MapName,
  ReasonName,
  SLOT_NONE,
  TrafficPath,
  Verdict,
} from "../generated/index.js";
import { FAMILIES } from "../ip.js";
import type { Plan } from "../plan/types.js";
import { hostPortKey } from "./encode.js";
import { addressesOf, familyMaps } from "./families.js";
import { type KernelMap, type Maps, mapNames } from "./maps.js";
import type {
  DatapathReader,
  EndpointReading,
  FlowsReading,
  HostPortReading,
  MapReading,
  PathCounters,
  PortReading,
  ReasonReading,
  TrafficCounter,
} from "./reader.js";
import type { PlacedEndpoint } from "./slots.js";
import type { Sweep } from "./sweep.js";

/** What the reader asks of the datapath. */
export interface ReaderSources {
  placed: () => PlacedEndpoint[];
  plan: () => Plan | undefined;
  failedWrites: (map: MapName) => number;
  /** Of the access lists, which may be too long to be counted at every scrape; undefined: not known, or another map. */
  policyEntries: (map: MapName) => number | undefined;
  sweep: Pick<Sweep, "entries" | "countedAt" | "inserted" | "evicted">;
}

/** Reads the maps and gives what is in them the names of the last plan. */
export class MapReader implements DatapathReader {
  constructor(
    private readonly kernel: Maps,
    private readonly sources: ReaderSources,
  ) {}

  endpoints(): EndpointReading[] {
    const placed = this.sources.placed();
    const counters = this.#endpointCounters(placed);
    return placed.map(({ slot, endpoint, planned }) => {
      const paths = counters.get(slot);
      return {
        slot,
        generation: endpoint.generation,
        endpointId: planned.endpointId,
        containerId: planned.containerId,
        container: planned.container,
        network: planned.network,
        addresses: addressesOf(endpoint),
        ifindex: endpoint.ifindex,
        device: planned.device,
        bridge: planned.bridge,
        masquerade: ((endpoint.ipv4.flags | endpoint.ipv6.flags) & EndpointIpFlags.MASQUERADE) !== 0,
        bridging: (endpoint.flags & EndpointFlags.BRIDGING) !== 0,
        receive: pathCounters(paths?.[Direction.RECEIVE]),
        transmit: pathCounters(paths?.[Direction.TRANSMIT]),
      };
    });
  }

  reasons(): ReasonReading[] {
    const names = new Map(this.sources.placed().map((p) => [p.slot, p.planned]));
    const readings: ReasonReading[] = [];
    for (const { key, values } of this.kernel.reasons.perCpuEntries(1024)) {
      const planned = names.get(key.slot);
      // Of an endpoint that is gone.
      if (planned === undefined && key.slot !== SLOT_NONE) continue;
      readings.push({
        container: planned?.container,
        network: planned?.network,
        direction: key.direction === Direction.RECEIVE ? "receive" : "transmit",
        verdict: key.verdict === Verdict.DROP ? "drop" : "slow",
        reason: ReasonName[key.reason] ?? `unknown_${key.reason}`,
        ...sum(values),
      });
    }
    for (const drop of this.#xdpDrops()) {
      const same = readings.find(
        (r) => r.reason === drop.reason && r.verdict === "drop" && r.container === undefined,
      );
      if (same === undefined) readings.push(drop);
      else Object.assign(same, { packets: same.packets + drop.packets, bytes: same.bytes + drop.bytes });
    }
    return readings;
  }

  /** What XDP has dropped that was for no endpoint, which it counts apart. */
  #xdpDrops(): ReasonReading[] {
    return [...this.kernel.xdp_drops.perCpuEntries(64)].flatMap(({ key, values }) => {
      const total = sum(values);
      const reason = ReasonName[key] ?? `unknown_${key}`;
      const nobody = { container: undefined, network: undefined };
      return total.packets === 0n
        ? []
        : [{ ...nobody, direction: "receive", verdict: "drop", reason, ...total }];
    });
  }

  maps(): MapReading[] {
    return mapNames
      .filter((map) => !TABLES.has(map))
      .map((map) => ({
        map,
        entries: this.#entries(map),
        maxEntries: this.kernel[map].maxEntries,
        failedWrites: this.sources.failedWrites(map),
      }));
  }

  #entries(map: MapName): number {
    if (map === "control") return 1;
    if (map === "endpoints" || map === "endpoint_counters") return this.sources.placed().length;
    for (const family of FAMILIES)
      if (map === familyMaps.flows[family]) return this.sources.sweep.entries[family];
    return this.sources.policyEntries(map) ?? countEntries(this.kernel[map].kernel);
  }

  flows(): FlowsReading {
    const { entries, countedAt, inserted, evicted } = this.sources.sweep;
    return {
      entries: entries[4] + entries[6],
      maxEntries: this.kernel.flows_ipv4.maxEntries + this.kernel.flows_ipv6.maxEntries,
      inserted,
      evicted,
      countedAt,
    };
  }

  ports(): PortReading[] {
    const byId = new Map(this.sources.placed().map((p) => [p.planned.endpointId, p.planned]));
    return (this.sources.plan()?.ports ?? []).flatMap((port) => {
      const planned = byId.get(port.endpointId);
      if (planned === undefined) return [];
      return [
        {
          proto: port.proto,
          address: port.address,
          port: port.port,
          container: planned.container,
          network: planned.network,
          containerAddress: port.containerAddress,
          containerPort: port.containerPort,
        },
      ];
    });
  }

  hostPorts(): HostPortReading[] {
    const byId = new Map(this.sources.placed().map((p) => [p.planned.endpointId, p.planned]));
    const counters = this.#hostPortCounters();
    const { key } = this.kernel.host_port_counters;
    return (this.sources.plan()?.hostPorts ?? []).flatMap((port) => {
      const planned = byId.get(port.endpointId);
      if (planned === undefined) return [];
      const counted = counters.get(key.encode(hostPortKey(port)).toString("hex")) ?? [];
      const left = counted.flatMap((sockets, outcome): [string, bigint][] =>
        outcome === HostOutcome.LED || sockets === 0n
          ? []
          : [[HostOutcomeName[outcome] ?? "unknown", sockets]],
      );
      const { proto, address, containerAddress, containerPort } = port;
      const { container, network } = planned;
      return [
        {
          proto,
          address,
          port: port.port,
          container,
          network,
          containerAddress,
          containerPort,
          led: counted[HostOutcome.LED] ?? 0n,
          left: Object.fromEntries(left),
        },
      ];
    });
  }

  /** By the key's bytes: sockets by HostOutcome, over all CPUs. */
  #hostPortCounters(): Map<string, bigint[]> {
    const { kernel, value } = this.kernel.host_port_counters;
    const counters = new Map<string, bigint[]>();
    for (const entry of kernel.entries(1024)) {
      const cpus = decodePerCpu(value, entry.value);
      const sums = cpus[0]?.sockets.map((_, outcome) =>
        cpus.reduce((sum, cpu) => sum + (cpu.sockets[outcome] ?? 0n), 0n),
      );
      counters.set(entry.key.toString("hex"), sums ?? []);
    }
    return counters;
  }

  /** Slots are given from the lowest on, so that the used ones lie together at the start of the array. */
  #endpointCounters(placed: PlacedEndpoint[]): Map<number, Counter[][]> {
    const counters = new Map<number, Counter[][]>();
    const wanted = new Set(placed.map((p) => p.slot));
    const last = Math.max(-1, ...wanted);
    const { kernel, key, value } = this.kernel.endpoint_counters;
    let cursor: Buffer | undefined;
    let read = 0;
    while (read <= last) {
      const batch = kernel.getBatch(cursor, Math.min(COUNTER_BATCH, last + 1 - read));
      const valueLength = batch.count === 0 ? 0 : batch.values.length / batch.count;
      for (let i = 0; i < batch.count; i++) {
        const slot = key.decode(batch.keys, i * key.size);
        if (!wanted.has(slot)) continue;
        const cpus = decodePerCpu(value, batch.values.subarray(i * valueLength, (i + 1) * valueLength));
        counters.set(slot, sumPaths(cpus.map((c) => c.path)));
      }
      read += batch.count;
      cursor = batch.cursor;
      if (cursor === undefined) break;
    }
    return counters;
  }
}

/** Arrays of flags, which are never full and too long to be counted at every scrape. */
const TABLES: ReadonlySet<MapName> = new Set([
  "masquerade_ports",
  "flow_table_counters",
  "source_blocks",
  "xdp_drops",
  // With each socket: the kernel lists none.
  "host_sockets",
]);
const COUNTER_BATCH = 1024;

/** What became of flow entries, by FAMILY_INDEX, over all CPUs. */
export function flowTableCounters(maps: Pick<Maps, "flow_table_counters">): FlowTableCounters[] {
  const { kernel, key, value } = maps.flow_table_counters;
  return FAMILIES.map((_, index) => {
    const cpus = decodePerCpu(value, kernel.get(key.encode(index)) ?? Buffer.alloc(0));
    return {
      inserted: cpus.reduce((sum, cpu) => sum + cpu.inserted, 0n),
      deleted: cpus.reduce((sum, cpu) => sum + cpu.deleted, 0n),
    };
  });
}

function countEntries(map: KernelMap): number {
  let entries = 0;
  let cursor: Buffer | undefined;
  do {
    const batch = map.getBatch(cursor, 4096);
    entries += batch.count;
    cursor = batch.cursor;
  } while (cursor !== undefined);
  return entries;
}

function pathCounters(path: Counter[] | undefined): PathCounters {
  const none = { packets: 0n, bytes: 0n };
  return { fast: path?.[TrafficPath.FAST] ?? none, slow: path?.[TrafficPath.SLOW] ?? none };
}

function sum(values: Counter[]): TrafficCounter {
  let packets = 0n;
  let bytes = 0n;
  for (const value of values) {
    packets += value.packets;
    bytes += value.bytes;
  }
  return { packets, bytes };
}

/** By direction and path, over all CPUs. */
function sumPaths(cpus: Counter[][][]): Counter[][] {
  return [Direction.RECEIVE, Direction.TRANSMIT].map((direction) =>
    [TrafficPath.FAST, TrafficPath.SLOW].map((path) =>
      sum(cpus.flatMap((cpu) => cpu[direction]?.[path] ?? [])),
    ),
  );
}
