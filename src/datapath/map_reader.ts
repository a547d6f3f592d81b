import { decodePerCpu } from "../codec.js";
import type { FlowTableCounters, MapName } from "../generated/index.js";
import { FAMILIES } from "../ip.js";
import type { Plan, PlannedPort } from "../plan/types.js";
import { ConnectionReader, handshakes } from "./connection_reader.js";
import { EndpointReader } from "./endpoint_reader.js";
import { familyMaps } from "./families.js";
import { MapCounter } from "./map_counter.js";
import type { Maps } from "./maps.js";
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
  readonly #connections: ConnectionReader;
  readonly #reasons: ReasonReader;
  readonly #pairs: PairReader;
  readonly #ports: PortReader;
  readonly #portCounts: PortCountReader;
  readonly #mapCounts: MapCounter;

  constructor(
    private readonly kernel: Maps,
    private readonly sources: ReaderSources,
  ) {
    this.#endpoints = new EndpointReader(kernel.endpoint_counters, sources.placed);
    this.#connections = new ConnectionReader(kernel, sources.placed, () => sources.sweep.number);
    this.#reasons = new ReasonReader(kernel, sources.placed);
    this.#pairs = new PairReader(kernel, sources.placed);
    this.#ports = new PortReader(kernel.host_port_counters, sources);
    this.#mapCounts = new MapCounter(kernel, (map) => this.#known(map));
    this.#portCounts = new PortCountReader(kernel.port_counters, () => this.#ports.byNumber());
  }

  endpoints(): EndpointReading[] {
    return [...this.endpointSteps()].flat();
  }

  endpointSteps(): Iterable<EndpointReading[]> {
    return this.#endpoints.steps();
  }

  connectionSteps(): Iterable<ConnectionReading[]> {
    return this.#connections.steps();
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
   * @param budgetMs after so long no more entries are counted, but of maps that never were: the others have as many as they had, and the
   *   count goes on where it was at the next call
   */
  *mapSteps(budgetMs?: number): Generator<MapReading | undefined> {
    for (const step of this.#mapCounts.steps(budgetMs)) {
      if (step === undefined) yield undefined;
      else {
        const { maxEntries } = this.kernel[step.map];
        yield { ...step, maxEntries, failedWrites: this.sources.failedWrites(step.map) };
      }
    }
  }

  /** @returns what is known without counting */
  #known(map: MapName): number | undefined {
    if (map === "control") return 1;
    if (SLOTTED.has(map)) return this.sources.placed().length;
    if (map === "port_counters") return this.sources.portNumbers().size;
    for (const family of FAMILIES)
      if (map === familyMaps.flows[family]) return this.sources.sweep.entries[family];
    return this.sources.policyEntries(map);
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

/** Arrays by slot. */
const SLOTTED: ReadonlySet<MapName> = new Set(["endpoints", "endpoint_counters", "open_connections"]);

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
