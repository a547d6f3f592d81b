import { HostOutcome, HostOutcomeName, hostOutcomesCodec } from "../generated/index.js";
import { type Address, withPort } from "../ip.js";
import type { Plan, PlannedEndpoint, PlannedHostPort, PlannedPort } from "../plan/types.js";
import { hostPortKey } from "./encode.js";
import { KeptEntries } from "./kept_entries.js";
import type { Maps } from "./maps.js";
import { halvesOf, summedBatches, sumPlaces } from "./per_cpu.js";
import type { HostPortReading, PortReading } from "./reader.js";
import type { PlacedEndpoint } from "./slots.js";

interface Entry {
  /** undefined: of a port that is published no more. */
  readonly port: PortReading | undefined;
}

/** The published ports of the last plan, with their endpoints' names. Lists and readings are the same objects until there is another plan. */
export class PortReader {
  #plan: Plan | undefined;
  #placed: readonly PlacedEndpoint[] = [];
  #ports: readonly PortReading[] | undefined;
  #readings = new Map<PlannedPort, PortReading>();
  #endpoints: ReadonlyMap<string, PlannedEndpoint> | undefined;
  #numbers: ReadonlyMap<number, PlannedPort> | undefined;
  #byNumber: readonly (PortReading | undefined)[] | undefined;
  /** By port number; those of one are few. */
  #hostPorts: ReadonlyMap<number, readonly PlannedHostPort[]> | undefined;
  #entries: KeptEntries<Entry>;

  constructor(
    private readonly counters: Maps["host_port_counters"],
    private readonly sources: {
      plan: () => Plan | undefined;
      placed: () => readonly PlacedEndpoint[];
      portNumbers: () => ReadonlyMap<number, PlannedPort>;
    },
  ) {
    this.#entries = this.#noEntries();
  }

  ports(): readonly PortReading[] {
    this.#look();
    this.#ports ??= (this.#plan?.ports ?? []).flatMap((port) => this.#reading(port) ?? []);
    return this.#ports;
  }

  /** Those that are counted each on its own, by their numbers. */
  byNumber(): readonly (PortReading | undefined)[] {
    this.#look();
    if (this.#byNumber === undefined) {
      const byNumber: (PortReading | undefined)[] = [];
      for (const [number, port] of this.#numbers ?? []) byNumber[number] = this.#reading(port);
      this.#byNumber = byNumber;
    }
    return this.#byNumber;
  }

  /** One object for a port, whoever asks: a host may have ten thousand. */
  #reading(port: PlannedPort): PortReading | undefined {
    let reading = this.#readings.get(port);
    if (reading !== undefined) return reading;
    this.#endpoints ??= byId(this.#placed);
    reading = portReading(port, this.#endpoints.get(port.endpointId));
    if (reading !== undefined) this.#readings.set(port, reading);
    return reading;
  }

  /** Those that processes of the host have dialled. */
  *hostPortSteps(): Generator<HostPortReading[]> {
    const { key, value } = this.counters;
    const fields = value.size / 8;
    this.#entries.begin();
    for (const { keys, count, sums } of summedBatches(this.counters)) {
      this.#look();
      const words = halvesOf(keys);
      const readings: HostPortReading[] = [];
      for (let i = 0; i < count; i++) {
        const entry =
          this.#entries.next(words, i) ??
          this.#entries.keep({ port: this.#dialled(key.decode(keys, i * key.size)) });
        if (entry.port !== undefined)
          readings.push({ ...entry.port, ...outcomes(sums.subarray(i * fields, (i + 1) * fields)) });
      }
      yield readings;
    }
    this.#entries.end();
  }

  /** What was made for another plan is forgotten. */
  #look(): void {
    const [plan, placed, numbers] = [this.sources.plan(), this.sources.placed(), this.sources.portNumbers()];
    if (plan === this.#plan && placed === this.#placed && numbers === this.#numbers) return;
    this.#plan = plan;
    this.#placed = placed;
    this.#numbers = numbers;
    this.#readings = new Map();
    this.#endpoints = undefined;
    this.#ports = undefined;
    this.#byNumber = undefined;
    this.#hostPorts = undefined;
    this.#entries = this.#noEntries();
  }

  #noEntries(): KeptEntries<Entry> {
    return new KeptEntries(this.counters.key.size / 4);
  }

  #dialled(key: { address: Address; port: number; proto: number }): PortReading | undefined {
    this.#hostPorts ??= byPort(this.#plan?.hostPorts ?? []);
    for (const port of this.#hostPorts.get(key.port) ?? []) {
      const { address, proto } = hostPortKey(port);
      if (address !== key.address || proto !== key.proto) continue;
      const placed = this.#placed.find(({ planned }) => planned.endpointId === port.endpointId);
      return portReading(port, placed?.planned);
    }
    return undefined;
  }
}

function byId(placed: readonly PlacedEndpoint[]): ReadonlyMap<string, PlannedEndpoint> {
  return new Map(placed.map(({ planned }) => [planned.endpointId, planned]));
}

function byPort(ports: readonly PlannedHostPort[]): ReadonlyMap<number, readonly PlannedHostPort[]> {
  const all = new Map<number, PlannedHostPort[]>();
  for (const port of ports) {
    const same = all.get(port.port);
    if (same === undefined) all.set(port.port, [port]);
    else same.push(port);
  }
  return all;
}

/** @returns undefined where the endpoint is not in the datapath */
function portReading(
  { proto, address, port, containerAddress, containerPort }: PlannedPort,
  planned: PlannedEndpoint | undefined,
): PortReading | undefined {
  if (planned === undefined) return undefined;
  const { containerId, container, network } = planned;
  const published = withPort(address, port);
  // Field by field: a spread gives each object a hidden class of its own, which is larger than itself.
  return {
    containerId,
    container,
    network,
    published,
    proto,
    address,
    port,
    containerAddress,
    containerPort,
  };
}

const SOCKETS = sumPlaces(hostOutcomesCodec).sockets;

/** @param counted the sums of one entry */
function outcomes(counted: Float64Array): Pick<HostPortReading, "led" | "left"> {
  let led = 0;
  const left: Record<string, number> = {};
  for (const [outcome, place] of SOCKETS.entries()) {
    const sockets = counted[place] as number;
    if (outcome === HostOutcome.LED) led = sockets;
    else if (sockets > 0) left[HostOutcomeName[outcome] ?? "unknown"] = sockets;
  }
  return { led, left };
}
