import { decodePerCpu, sumPerCpu } from "../codec.js";
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
import { type MapBatch, possibleCpus } from "../native/index.js";
import type { Plan, PlannedEndpoint, PlannedHostPort } from "../plan/types.js";
import { connectionSteps, handshakes } from "./connection_reader.js";
import { hostPortKey } from "./encode.js";
import { addressesOf, familyMaps } from "./families.js";
import { type KernelMap, type Maps, mapNames } from "./maps.js";
import type {
  ConnectionReading,
  DatapathReader,
  DetachedReading,
  EndpointReading,
  FlowsReading,
  HandshakeReading,
  HostPortReading,
  MapReading,
  PathCounters,
  PortReading,
  ProgramReading,
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
  sweep: Pick<Sweep, "entries" | "countedAt" | "inserted" | "evicted" | "number">;
  programs?: () => ProgramReading[];
  detached?: () => DetachedReading[];
}

/** Reads the maps and gives what is in them the names of the last plan. */
export class MapReader implements DatapathReader {
  #cpus: number | undefined;
  /** Entries of maps, and in which call of mapSteps() they were counted. */
  readonly #counts = new Map<MapName, { entries: number; call: number }>();
  #calls = 0;
  /** The keys of the planned ports in host_port_counters, by their bytes; made once for a plan. */
  #hostPortKeys: { of: readonly PlannedHostPort[]; keys: string[] } = { of: [], keys: [] };

  constructor(
    private readonly kernel: Maps,
    private readonly sources: ReaderSources,
  ) {}

  endpoints(): EndpointReading[] {
    return [...this.endpointSteps()].flat();
  }

  /** Slots are given from the lowest on, so that the used ones lie together at the start of the array. */
  *endpointSteps(): Generator<EndpointReading[]> {
    const { kernel, key, value } = this.kernel.endpoint_counters;
    const given = new Set<string>();
    let cursor: Buffer | undefined;
    let read = 0;
    do {
      // Asked in each step: between two of them a slot may have been given to another endpoint.
      const bySlot = new Map(this.sources.placed().map((p) => [p.slot, p]));
      const slots = Math.max(-1, ...bySlot.keys()) + 1;
      if (read >= slots) return;
      const batch = kernel.getBatch(cursor, Math.min(this.#batch(value.size), slots - read));
      const valueLength = batch.count === 0 ? 0 : batch.values.length / batch.count;
      const readings: EndpointReading[] = [];
      for (let i = 0; i < batch.count; i++) {
        const placed = bySlot.get(key.decode(batch.keys, i * key.size));
        if (placed === undefined || given.has(placed.planned.endpointId)) continue;
        given.add(placed.planned.endpointId);
        const counted = sumPerCpu(value, batch.values, i * valueLength, valueLength);
        readings.push(endpointReading(placed, counted.path));
      }
      yield readings;
      read += batch.count;
      cursor = batch.cursor;
    } while (cursor !== undefined);
  }

  connectionSteps(): Generator<ConnectionReading[]> {
    const { placed, sweep } = this.sources;
    return connectionSteps(this.kernel, placed, sweep.number, (size) => this.#batch(size));
  }

  handshakes(): HandshakeReading[] {
    return handshakes(this.kernel, this.sources.placed());
  }

  reasons(): ReasonReading[] {
    const byKey = new Map<string, ReasonReading>();
    for (const reading of [...this.reasonSteps()].flat()) {
      const { containerId, network, direction, verdict, reason } = reading;
      const key = [containerId, network, direction, verdict, reason].join("\0");
      const same = byKey.get(key);
      if (same === undefined) byKey.set(key, { ...reading });
      else {
        same.packets += reading.packets;
        same.bytes += reading.bytes;
      }
    }
    return [...byKey.values()];
  }

  *reasonSteps(): Generator<ReasonReading[]> {
    const { kernel, key, value } = this.kernel.reasons;
    let cursor: Buffer | undefined;
    do {
      const batch = kernel.getBatch(cursor, this.#batch(value.size));
      const names = new Map(this.sources.placed().map((p) => [p.slot, p.planned]));
      const valueLength = batch.count === 0 ? 0 : batch.values.length / batch.count;
      const readings: ReasonReading[] = [];
      for (let i = 0; i < batch.count; i++) {
        const { slot, direction, verdict, reason } = key.decode(batch.keys, i * key.size);
        const planned = names.get(slot);
        // Of an endpoint that is gone.
        if (planned === undefined && slot !== SLOT_NONE) continue;
        readings.push({
          containerId: planned?.containerId,
          container: planned?.container,
          network: planned?.network,
          direction: direction === Direction.RECEIVE ? "receive" : "transmit",
          verdict: verdict === Verdict.DROP ? "drop" : "slow",
          reason: ReasonName[reason] ?? `unknown_${reason}`,
          ...sumPerCpu(value, batch.values, i * valueLength, valueLength),
        });
      }
      yield readings;
      cursor = batch.cursor;
    } while (cursor !== undefined);
    yield this.#xdpDrops();
  }

  /** How many entries of a per-CPU map to read in one go: about a millisecond's worth, whatever the number of CPUs. */
  #batch(valueSize: number): number {
    this.#cpus ??= possibleCpus();
    return Math.max(16, Math.min(1024, Math.floor(BATCH_BYTES / (this.#cpus * valueSize))));
  }

  /** What XDP has dropped that was for no endpoint, which it counts apart. */
  #xdpDrops(): ReasonReading[] {
    return [...this.kernel.xdp_drops.perCpuEntries(64)].flatMap(({ key, values }) => {
      const total = sum(values);
      const reason = ReasonName[key] ?? `unknown_${key}`;
      const nobody = { containerId: undefined, container: undefined, network: undefined };
      return total.packets === 0n
        ? []
        : [{ ...nobody, direction: "receive", verdict: "drop", reason, ...total }];
    });
  }

  maps(): MapReading[] {
    return [...this.mapSteps(Number.POSITIVE_INFINITY)].filter((reading) => reading !== undefined);
  }

  /**
   * @param budgetMs after so long no more maps are counted, but for those that never were: the others are as they were counted
   *   last, and their turn comes at the next call. At least one is counted.
   */
  *mapSteps(budgetMs = COUNT_BUDGET_MS): Generator<MapReading | undefined> {
    let spent = 0;
    let counted = 0;
    // Those that were counted longest ago come first.
    const order = mapNames
      .filter((map) => !UNLISTED.has(map))
      .sort((a, b) => (this.#counts.get(a)?.call ?? 0) - (this.#counts.get(b)?.call ?? 0));
    this.#calls++;
    for (const map of order) {
      let count = this.#counts.get(map);
      if (count === undefined || counted === 0 || spent < budgetMs) {
        const steps = this.#entries(map);
        for (;;) {
          const start = performance.now();
          const step = steps.next();
          spent += performance.now() - start;
          if (step.done === true) {
            count = { entries: step.value, call: this.#calls };
            break;
          }
          yield undefined;
        }
        this.#counts.set(map, count);
        counted++;
      }
      const { maxEntries } = this.kernel[map];
      yield { map, entries: count.entries, maxEntries, failedWrites: this.sources.failedWrites(map) };
    }
  }

  *#entries(map: MapName): Generator<undefined, number> {
    if (map === "control") return 1;
    if (SLOTTED.has(map)) return this.sources.placed().length;
    for (const family of FAMILIES)
      if (map === familyMaps.flows[family]) return this.sources.sweep.entries[family];
    const known = this.sources.policyEntries(map);
    if (known !== undefined) return known;
    return yield* countEntries(this.kernel[map].kernel, TABLES.has(map));
  }

  programs(): ProgramReading[] {
    return this.sources.programs?.() ?? [];
  }

  detached(): DetachedReading[] {
    return this.sources.detached?.() ?? [];
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
          containerId: planned.containerId,
          container: planned.container,
          network: planned.network,
          containerAddress: port.containerAddress,
          containerPort: port.containerPort,
        },
      ];
    });
  }

  hostPorts(): HostPortReading[] {
    return [...this.hostPortSteps()].flat();
  }

  *hostPortSteps(): Generator<HostPortReading[]> {
    const counters = yield* this.#hostPortCounters();
    const byId = new Map(this.sources.placed().map((p) => [p.planned.endpointId, p.planned]));
    const { key } = this.kernel.host_port_counters;
    const ports = this.sources.plan()?.hostPorts ?? [];
    if (this.#hostPortKeys.of !== ports) this.#hostPortKeys = { of: ports, keys: [] };
    const { keys } = this.#hostPortKeys;
    for (let from = 0; from < ports.length; from += PORTS_BATCH) {
      yield ports.slice(from, from + PORTS_BATCH).flatMap((port, index) => {
        const planned = byId.get(port.endpointId);
        if (planned === undefined) return [];
        let bytes = keys[from + index];
        if (bytes === undefined) {
          bytes = key.encode(hostPortKey(port)).toString("latin1");
          keys[from + index] = bytes;
        }
        return [hostPortReading(port, planned, counters.get(bytes) ?? [])];
      });
    }
  }

  placements(): { network: string }[] {
    return this.sources.placed().map((p) => p.planned);
  }

  /** By the key's bytes: sockets by HostOutcome, over all CPUs. */
  *#hostPortCounters(): Generator<never[], Map<string, readonly bigint[]>> {
    const { kernel, key, value } = this.kernel.host_port_counters;
    const counters = new Map<string, readonly bigint[]>();
    let cursor: Buffer | undefined;
    do {
      const batch = kernel.getBatch(cursor, this.#batch(value.size));
      const valueLength = batch.count === 0 ? 0 : batch.values.length / batch.count;
      for (let i = 0; i < batch.count; i++) {
        const name = batch.keys.toString("latin1", i * key.size, (i + 1) * key.size);
        counters.set(name, sumPerCpu(value, batch.values, i * valueLength, valueLength).sockets);
      }
      yield [];
      cursor = batch.cursor;
    } while (cursor !== undefined);
    return counters;
  }
}

/** Arrays: an entry is in use when it is not zero. */
const TABLES: ReadonlySet<MapName> = new Set([
  "masquerade_ports",
  "flow_table_counters",
  "sync_budgets",
  "tcp_controls",
  "source_blocks",
  "xdp_drops",
]);
/** Arrays by slot. */
const SLOTTED: ReadonlySet<MapName> = new Set(["endpoints", "endpoint_counters", "open_connections"]);
/** With each socket: the kernel lists none, and has no limit. */
const UNLISTED: ReadonlySet<MapName> = new Set(["host_sockets"]);
const BATCH_BYTES = 128 * 1024;
const COUNT_BATCH = 2048;
const PORTS_BATCH = 200;
/** An empty hash table of 65,536 buckets takes the kernel half a millisecond to go through. */
const COUNT_BUDGET_MS = 4;

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

/** @param table only what is not zero counts */
function* countEntries(map: KernelMap, table: boolean): Generator<undefined, number> {
  let entries = 0;
  let cursor: Buffer | undefined;
  do {
    const batch = map.getBatch(cursor, COUNT_BATCH);
    entries += table ? nonZero(batch) : batch.count;
    cursor = batch.cursor;
    yield;
  } while (cursor !== undefined);
  return entries;
}

function nonZero({ values, count }: MapBatch): number {
  const size = count === 0 ? 1 : values.length / count;
  let used = 0;
  for (let at = 0; at < values.length; at += size) {
    let end = at;
    while (end < at + size && values[end] === 0) end++;
    if (end < at + size) used++;
  }
  return used;
}

function endpointReading(
  { slot, endpoint, planned }: PlacedEndpoint,
  path: readonly (readonly Counter[])[],
): EndpointReading {
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
    receive: pathCounters(path[Direction.RECEIVE]),
    transmit: pathCounters(path[Direction.TRANSMIT]),
  };
}

/** @param counted sockets by HostOutcome */
function hostPortReading(
  port: PlannedHostPort,
  { containerId, container, network }: PlannedEndpoint,
  counted: readonly bigint[],
): HostPortReading {
  const left = counted.flatMap((sockets, outcome): [string, bigint][] =>
    outcome === HostOutcome.LED || sockets === 0n ? [] : [[HostOutcomeName[outcome] ?? "unknown", sockets]],
  );
  const { proto, address, containerAddress, containerPort } = port;
  return {
    proto,
    address,
    port: port.port,
    containerId,
    container,
    network,
    containerAddress,
    containerPort,
    led: counted[HostOutcome.LED] ?? 0n,
    left: Object.fromEntries(left),
  };
}

function pathCounters(path: readonly Counter[] | undefined): PathCounters {
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
