import { decodePerCpu } from "../codec.js";
import type { FlowTableCounters, MapName } from "../generated/index.js";
import { FAMILIES } from "../ip.js";
import type { MapBatch } from "../native/index.js";
import type { Plan, PlannedPort } from "../plan/types.js";
import { connectionSteps, handshakes } from "./connection_reader.js";
import { EndpointReader } from "./endpoint_reader.js";
import { familyMaps } from "./families.js";
import { type KernelMap, type Maps, mapNames } from "./maps.js";
import { PairReader } from "./pairs.js";
import { PortCountReader } from "./port_counts.js";
import { PortReader } from "./port_reader.js";
import type {
  ConnectionReading,
  DatapathReader,
  DetachedReading,
  EndpointReading,
  FlowsReading,
  HandshakeReading,
  HostPortReading,
  MapReading,
  PairReading,
  PortCountReading,
  PortReading,
  ProgramReading,
  ReasonReading,
  XdpReading,
} from "./reader.js";
import { ReasonReader } from "./reason_reader.js";
import type { PlacedEndpoint } from "./slots.js";
import type { Sweep } from "./sweep.js";
import { xdpVerdicts } from "./xdp_counters.js";

/** What the reader asks of the datapath. */
export interface ReaderSources {
  placed: () => PlacedEndpoint[];
  plan: () => Plan | undefined;
  /** The plan's published ports that are counted each on its own. */
  portNumbers: () => ReadonlyMap<number, PlannedPort>;
  failedWrites: (map: MapName) => number;
  /** Of the access lists, which may be too long to be counted at every scrape; undefined: not known, or another map. */
  policyEntries: (map: MapName) => number | undefined;
  sweep: Pick<Sweep, "entries" | "countedAt" | "inserted" | "evicted" | "number">;
  /** Where uplink_xdp is attached now. */
  xdp?: () => { ifindex: number; name: string }[];
  programs?: () => ProgramReading[];
  detached?: () => DetachedReading[];
}

/** Reads the maps and gives what is in them the names of the last plan. */
export class MapReader implements DatapathReader {
  readonly #endpoints: EndpointReader;
  readonly #reasons: ReasonReader;
  readonly #pairs: PairReader;
  readonly #ports: PortReader;
  readonly #portCounts: PortCountReader;
  /** Entries of maps, and in which call of mapSteps() they were counted. */
  readonly #counts = new Map<MapName, { entries: number; call: number }>();
  #calls = 0;

  constructor(
    private readonly kernel: Maps,
    private readonly sources: ReaderSources,
  ) {
    this.#endpoints = new EndpointReader(kernel.endpoint_counters, sources.placed);
    this.#reasons = new ReasonReader(kernel, sources.placed);
    this.#pairs = new PairReader(kernel, sources.placed);
    this.#ports = new PortReader(kernel.host_port_counters, sources);
    this.#portCounts = new PortCountReader(kernel.port_counters, () => this.#ports.byNumber());
  }

  endpoints(): EndpointReading[] {
    return [...this.endpointSteps()].flat();
  }

  endpointSteps(): Iterable<EndpointReading[]> {
    return this.#endpoints.steps();
  }

  connectionSteps(): Iterable<ConnectionReading[]> {
    const { placed, sweep } = this.sources;
    return connectionSteps(this.kernel, placed, sweep.number);
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

  reasonSteps(): Iterable<ReasonReading[]> {
    return this.#reasons.steps();
  }

  pairSteps(): Iterable<PairReading[]> {
    return this.#pairs.steps();
  }

  pairsUncounted(): number {
    return this.#pairs.uncounted();
  }

  xdp(): XdpReading[] {
    return (this.sources.xdp?.() ?? []).flatMap(({ ifindex, name }) => {
      const verdicts = xdpVerdicts(this.kernel, ifindex);
      return verdicts === undefined ? [] : { device: name, ...verdicts };
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
    if (map === "port_counters") return this.sources.portNumbers().size;
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

  ports(): readonly PortReading[] {
    return this.#ports.ports();
  }

  portCountSteps(): Iterable<PortCountReading[]> {
    return this.#portCounts.steps();
  }

  hostPorts(): HostPortReading[] {
    return [...this.hostPortSteps()].flat();
  }

  hostPortSteps(): Iterable<HostPortReading[]> {
    return this.#ports.hostPortSteps();
  }

  placements(): { network: string }[] {
    return this.sources.placed().map((p) => p.planned);
  }
}

/** Arrays: an entry is in use when it is not zero. */
const TABLES: ReadonlySet<MapName> = new Set([
  "masquerade_ports",
  "flow_table_counters",
  "sync_budgets",
  "tcp_controls",
  "source_blocks",
  "xdp_counters",
  "pairs_uncounted",
]);
/** Arrays by slot. */
const SLOTTED: ReadonlySet<MapName> = new Set(["endpoints", "endpoint_counters", "open_connections"]);
/** With each socket: the kernel lists none, and has no limit. */
const UNLISTED: ReadonlySet<MapName> = new Set(["host_sockets"]);
const COUNT_BATCH = 2048;
/** An empty hash table of 65,536 buckets takes the kernel half a millisecond to go through. */
const COUNT_BUDGET_MS = 2;

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
