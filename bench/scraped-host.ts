// A large host's maps, plan and inventory without the host: the maps are the kernel's own, filled as they would be.

import type { DaemonStatus, MetricsSource } from "../src/controller/daemon.js";
import { hostPortKey } from "../src/datapath/encode.js";
import { MapReader } from "../src/datapath/map_reader.js";
import { type KernelMap, type Maps, typedMaps } from "../src/datapath/maps.js";
import type { PlacedEndpoint } from "../src/datapath/slots.js";
import type { EngineContainer, EngineState } from "../src/docker/model.js";
import { HostOutcome, mapDefinitions, Reason, Verdict } from "../src/generated/index.js";
import { BpfMap, possibleCpus } from "../src/native/index.js";
import type { Plan, PlannedEndpoint, PlannedHostPort, PlannedPort } from "../src/plan/types.js";

export interface HostSize {
  readonly containers: number;
  readonly portsEach: number;
}

/** Reasons that a busy container's packets have. */
const REASONS = [Reason.NO_FLOW, Reason.ANCHOR, Reason.TCP_CONTROL, Reason.NOT_TCP_UDP, Reason.TO_HOST];
const FIRST_PORT = 2000;

/** What the metrics are read from. */
export class ScrapedHost {
  readonly source: MetricsSource;
  readonly #kernel: BpfMap[] = [];
  readonly #maps: Maps;
  #endpoints: PlacedEndpoint[] = [];
  #ports: PlannedPort[] = [];
  #hostPorts: PlannedHostPort[] = [];
  #plan: Plan | undefined;
  #portNumbers: ReadonlyMap<number, PlannedPort> = new Map();
  #engineState: EngineState | undefined;

  /** The caller closes it. */
  constructor(private readonly size: HostSize) {
    this.#maps = typedMaps((name) => this.#createMap(name));
    for (let slot = 0; slot < size.containers; slot++) this.#addContainer(slot);
    this.#pass();
    const reader = new MapReader(this.#maps, {
      placed: () => this.#endpoints,
      plan: () => this.#plan,
      portNumbers: () => this.#portNumbers,
      failedWrites: () => 0,
      policyEntries: () => undefined,
      sweep: { entries: { 4: 200_000, 6: 0 }, countedAt: Date.now(), inserted: 1e6, evicted: 0, number: 0 },
    });
    const engineState = () => this.#engineState;
    this.source = {
      reader,
      status: () => status,
      get engineState() {
        return engineState();
      },
    };
    this.traffic(0);
  }

  close(): void {
    for (const map of this.#kernel) map.close();
  }

  /** Every container and every port has had packets since the last time, a tenth of the containers some that were not on the fast path. */
  traffic(round: number): void {
    const { endpoint_counters: counters, port_counters: ofPorts, reasons } = this.#maps;
    this.#connections(round);
    for (const number of this.#portNumbers.keys()) {
      const packets = BigInt(number * 1000 + round * (100 + (number % 37)));
      const counter = { packets, bytes: packets * 800n };
      const value = { traffic: [counter, counter], opened: packets / 10n, refused: 0n };
      this.#put(ofPorts, ofPorts.key.encode(number), perCpu(ofPorts.value.encode(value)));
    }
    for (const { slot } of this.#endpoints) {
      const packets = slot * 1000 + round * (100 + (slot % 37));
      const path = [1, 2].map((n) => [
        { packets: BigInt(packets * n), bytes: BigInt(packets * n * 800) },
        { packets: 3n, bytes: 180n },
      ]);
      this.#put(counters, counters.key.encode(slot), perCpu(counters.value.encode({ path })));
      if (round > 0 && (slot + round) % 10 !== 0) continue;
      for (const reason of REASONS) {
        const key = reasons.key.encode({ slot, direction: 0, verdict: Verdict.SLOW, reason });
        const counted = { packets: BigInt(9 + round), bytes: BigInt(900 + 100 * round) };
        this.#put(reasons, key, perCpu(reasons.value.encode(counted)));
      }
    }
  }

  /** Every container has been dialled and has dialled. */
  #connections(round: number): void {
    const { connection_counters: counters } = this.#maps;
    for (const { slot } of this.#endpoints) {
      const opened = BigInt(slot + 5 * round);
      const counted = {
        opened: [
          [opened, opened],
          [opened, opened],
        ],
        ...{ established: [opened, opened], syn: [opened, opened], rst: [0n, 1n] },
        ...{ snatAllocated: opened, snatRetried: 2n, snatFailed: 0n },
      };
      this.#put(counters, counters.key.encode(slot), perCpu(counters.value.encode(counted)));
    }
  }

  /** Containers have gone, and others have come in their places, with other names and the same ports. */
  replace(slots: readonly number[], generation: number): void {
    const successors = new Map<string, PlacedEndpoint>();
    for (const slot of slots) {
      const gone = this.#endpoints[slot];
      if (gone !== undefined) successors.set(gone.planned.endpointId, endpointIn(slot, generation));
    }
    const handed = <P extends PlannedPort>(port: P) => {
      const endpointId = successors.get(port.endpointId)?.planned.endpointId ?? port.endpointId;
      return { ...port, endpointId };
    };
    this.#endpoints = this.#endpoints.map((one) => successors.get(one.planned.endpointId) ?? { ...one });
    this.#ports = this.#ports.map(handed);
    this.#hostPorts = this.#hostPorts.map(handed);
    this.#pass();
  }

  /** Plan and inventory are other objects after each pass that found something. */
  #pass(): void {
    const [ports, hostPorts] = [this.#ports, this.#hostPorts];
    this.#portNumbers = new Map(ports.map((port, index) => [index + 1, port]));
    this.#plan = { endpoints: this.#endpoints.map((e) => e.planned), ports, hostPorts } as unknown as Plan;
    const containers = this.#endpoints.map(containerOf);
    this.#engineState = {
      version: "29",
      apiVersion: "1.52",
      networks: [],
      containers,
      unsure: [],
      warnings: [],
    };
  }

  #createMap(name: keyof typeof mapDefinitions): BpfMap {
    const { type, key, value, maxEntries, flags } = mapDefinitions[name];
    // Socket storage needs BTF, and nothing lists it.
    const made =
      type === "sk_storage" ? { type: "hash", maxEntries: 1, flags: 0 } : { type, maxEntries, flags };
    const sizes = { keySize: key.size, valueSize: value.size };
    const map = BpfMap.create({ ...made, ...sizes, name: name.slice(0, 15) });
    this.#kernel.push(map);
    return map;
  }

  #addContainer(slot: number): void {
    const { portsEach } = this.size;
    const placed = endpointIn(slot, 0);
    this.#endpoints.push(placed);
    const { ports_ipv4: published, host_ports, host_port_counters } = this.#maps;
    for (let n = 0; n < portsEach; n++) {
      const port = {
        proto: "tcp" as const,
        address: "0.0.0.0",
        port: FIRST_PORT + slot * portsEach + n,
        endpointId: placed.planned.endpointId,
        containerAddress: placed.planned.ip[4]?.address ?? "",
        containerPort: 80 + n,
      };
      this.#ports.push(port);
      const number = this.#ports.length;
      published.set(
        { address: port.address, port: port.port, proto: 6 },
        { slot, generation: 1, address: port.containerAddress, port: port.containerPort, number },
      );
      const dials = {
        loopback: "proxied",
        addresses: "proxied",
        keepSource: true,
        source: undefined,
      } as const;
      const hostPort = { ...port, ...dials };
      this.#hostPorts.push(hostPort);
      const key = host_ports.key.encode(hostPortKey(hostPort));
      this.#put(host_ports, key, Buffer.alloc(host_ports.value.size));
      // The host's own processes dial few of its ports.
      if (n > 0 || slot % 10 !== 0) continue;
      const sockets = Array.from({ length: HostOutcome.OUTCOME_MAX }, (_, outcome) =>
        outcome === HostOutcome.LED ? 5n : 0n,
      );
      this.#put(host_port_counters, key, perCpu(host_port_counters.value.encode({ sockets })));
    }
  }

  #put(map: { kernel: KernelMap }, key: Buffer, value: Buffer): void {
    map.kernel.set(key, value);
  }
}

function perCpu(value: Buffer): Buffer {
  return Buffer.concat(Array.from({ length: possibleCpus() }, () => value));
}

function endpointIn(slot: number, generation: number): PlacedEndpoint {
  const id = `${generation.toString(16)}${slot.toString(16).padStart(8, "0")}`.padStart(64, "0");
  const address = `10.${slot >> 16}.${(slot >> 8) & 255}.${slot & 255}`;
  const ip = { address, snatAddress: undefined, masquerade: true, filtered: false, gateway: true };
  const planned: PlannedEndpoint = {
    endpointId: id,
    containerId: id,
    container: `stack-${slot % 50}-service-${slot}-${generation}`,
    networkId: "n",
    network: `stack-${slot % 50}_default`,
    ifindex: 100 + slot,
    device: `veth${slot.toString(16).padStart(7, "0")}`,
    bridgeIfindex: 3,
    bridge: `br-${(slot % 50).toString(16).padStart(12, "0")}`,
    ip: { 4: ip, 6: undefined },
    bridging: true,
    matrix: false,
    mtu: 1500,
    mac: new Uint8Array(6),
    bridgeMac: new Uint8Array(6),
  };
  const part = { address, snatAddress: "0.0.0.0", flags: 1 };
  const none = { address: "::", snatAddress: "::", flags: 0 };
  const { ifindex, bridgeIfindex, mtu, mac, bridgeMac } = planned;
  const endpoint = {
    idHash: BigInt(slot),
    published: 0n,
    generation: 1,
    ifindex,
    bridgeIfindex,
    mtu,
    flags: 1,
    network: 0,
    mac,
    bridgeMac,
    ipv4: part,
    ipv6: none,
  };
  return { slot, planned, fresh: false, endpoint };
}

const status = {
  state: "ready",
  mode: "accelerate",
  attach: "tcx",
  adopted: false,
  engine: { connected: true, version: "29", apiVersion: "1.52", disconnects: 0 },
  uplinks: [],
  reconcile: { count: 1, failures: 0, lastSuccessAt: Date.now(), last: undefined },
  warnings: [],
  trustFirewall: "foreign",
} as unknown as DaemonStatus;

function containerOf({ planned }: PlacedEndpoint): EngineContainer {
  return {
    id: planned.containerId,
    name: planned.container,
    labels: {
      "com.docker.compose.project": planned.network.replace("_default", ""),
      "com.docker.compose.service": "service",
    },
    running: true,
    paused: false,
    networkMode: planned.network,
    sandboxKey: "",
    endpoints: [],
    ports: [],
  };
}
