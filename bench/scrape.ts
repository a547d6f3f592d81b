// What a scrape costs on a large host: maps of the kernel's own, filled as they would be, read by the daemon's own reader and
// collectors. Nothing is attached and no engine runs; the time is the control plane's alone.

import { setImmediate } from "node:timers/promises";
import Table from "cli-table3";
import type { DaemonStatus, MetricsSource } from "../src/controller/daemon.js";
import { hostPortKey } from "../src/datapath/encode.js";
import { MapReader } from "../src/datapath/map_reader.js";
import { type KernelMap, type Maps, typedMaps } from "../src/datapath/maps.js";
import type { PlacedEndpoint } from "../src/datapath/slots.js";
import { HostOutcome, mapDefinitions, Reason, Verdict } from "../src/generated/index.js";
import { createMetrics } from "../src/metrics/metrics.js";
import { BpfMap, possibleCpus } from "../src/native/index.js";
import type { Plan, PlannedEndpoint, PlannedHostPort, PlannedPort } from "../src/plan/types.js";

export interface ScrapeOptions {
  containers: number;
  portsEach: number;
  rounds: number;
}

export interface ScrapeResult extends ScrapeOptions {
  series: number;
  bytes: number;
  cpus: number;
  /** Of every scrape, ms: from asked to answered, CPU time of the process meanwhile, the longest time without a pause. */
  wall: number[];
  cpu: number[];
  held: number[];
  /** Of the process afterwards, bytes. */
  resident: number;
}

/** Reasons that a busy container's packets have. */
const REASONS = [Reason.NO_FLOW, Reason.ANCHOR, Reason.TCP_CONTROL, Reason.NOT_TCP_UDP, Reason.TO_HOST];

/** Measures `rounds` scrapes, after two that are not counted. */
export async function scrape(options: ScrapeOptions): Promise<ScrapeResult> {
  const kernel: BpfMap[] = [];
  try {
    const maps = typedMaps((name) => {
      const { type, key, value, maxEntries, flags } = mapDefinitions[name];
      // Socket storage needs BTF, and nothing lists it.
      const made =
        type === "sk_storage" ? { type: "hash", maxEntries: 1, flags: 0 } : { type, maxEntries, flags };
      const map = BpfMap.create({
        ...made,
        name: name.slice(0, 15),
        keySize: key.size,
        valueSize: value.size,
      });
      kernel.push(map);
      return map;
    });
    const { endpoints, plan } = fill(maps, options);
    const reader = new MapReader(maps, {
      placed: () => endpoints,
      plan: () => plan,
      failedWrites: () => 0,
      policyEntries: () => undefined,
      sweep: { entries: { 4: 100_000, 6: 0 }, countedAt: Date.now(), inserted: 1e6, evicted: 0, number: 0 },
    });
    const metrics = createMetrics({ source: source(reader, endpoints), version: "0", kernel: "0" });
    const result: ScrapeResult = {
      ...options,
      series: 0,
      bytes: 0,
      cpus: possibleCpus(),
      wall: [],
      cpu: [],
      held: [],
      resident: 0,
    };
    for (let round = -2; round < options.rounds; round++) {
      const watch = watchLoop();
      const before = process.cpuUsage();
      const start = performance.now();
      const pieces = await metrics.scrape();
      const wall = performance.now() - start;
      const { user, system } = process.cpuUsage(before);
      const held = await watch();
      if (round < 0) continue;
      result.wall.push(wall);
      result.cpu.push((user + system) / 1000);
      result.held.push(held);
      const text = Buffer.concat(pieces).toString();
      result.bytes = text.length;
      result.series = text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).length;
    }
    result.resident = process.memoryUsage().rss;
    return result;
  } finally {
    for (const map of kernel) map.close();
  }
}

/** As a table, for people. */
export function scrapeTable(result: ScrapeResult, colour: boolean): string {
  const table = new Table({
    head: ["a scrape", "least", "median", "most"],
    ...(colour ? {} : { style: { head: [], border: [] } }),
  });
  for (const [name, values] of Object.entries({
    "from asked to answered, ms": result.wall,
    "CPU time, ms": result.cpu,
    "longest without a pause, ms": result.held,
  })) {
    const sorted = [...values].sort((a, b) => a - b);
    const at = (part: number) => (sorted[Math.round(part * (sorted.length - 1))] ?? Number.NaN).toFixed(1);
    table.push([name, at(0), at(0.5), at(1)]);
  }
  const of = `${result.containers} containers with ${result.portsEach} published ports each: ${result.series} series, ${(result.bytes / 1e6).toFixed(1)} MB`;
  return `${table.toString()}\n${of}; ${result.cpus} possible CPUs; ${Math.round(result.resident / 1e6)} MB resident`;
}

/** @returns what ends it and tells the longest time, in ms, between two turns of the event loop */
function watchLoop(): () => Promise<number> {
  let longest = 0;
  let over = false;
  const watching = (async () => {
    let last = performance.now();
    while (!over) {
      await setImmediate();
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
    }
  })();
  return async () => {
    over = true;
    await watching;
    return longest;
  };
}

function fill(
  maps: Maps,
  { containers, portsEach }: ScrapeOptions,
): { endpoints: PlacedEndpoint[]; plan: Plan } {
  const endpoints: PlacedEndpoint[] = [];
  const ports: PlannedPort[] = [];
  const hostPorts: PlannedHostPort[] = [];
  const cpus = possibleCpus();
  const perCpu = (value: Buffer) => Buffer.concat(Array.from({ length: cpus }, () => value));
  const put = (map: { kernel: KernelMap }, key: Buffer, value: Buffer) => map.kernel.set(key, value);
  for (let slot = 0; slot < containers; slot++) {
    const placed = endpointIn(slot);
    endpoints.push(placed);
    const {
      endpoint_counters: counters,
      reasons,
      ports_ipv4: published,
      host_ports,
      host_port_counters,
    } = maps;
    const path = [1, 2].map((n) => [
      { packets: BigInt(slot * n), bytes: BigInt(slot * n * 1000) },
      { packets: 3n, bytes: 180n },
    ]);
    put(counters, counters.key.encode(slot), perCpu(counters.value.encode({ path })));
    for (const reason of REASONS) {
      const key = { slot, direction: 0, verdict: Verdict.SLOW, reason };
      put(reasons, reasons.key.encode(key), perCpu(reasons.value.encode({ packets: 9n, bytes: 900n })));
    }
    for (let n = 0; n < portsEach; n++) {
      const port = {
        proto: "tcp" as const,
        address: "0.0.0.0",
        port: 2000 + slot * portsEach + n,
        endpointId: placed.planned.endpointId,
        containerAddress: placed.planned.ip[4]?.address ?? "",
        containerPort: 80 + n,
      };
      ports.push(port);
      published.set(
        { address: port.address, port: port.port, proto: 6 },
        { slot, generation: 1, address: port.containerAddress, port: port.containerPort },
      );
      const hostPort = {
        ...port,
        loopback: "proxied",
        addresses: "proxied",
        keepSource: true,
        source: undefined,
      } as const;
      hostPorts.push(hostPort);
      const key = host_ports.key.encode(hostPortKey(hostPort));
      put(host_ports, key, Buffer.alloc(host_ports.value.size));
      // The host's own processes dial few of its ports.
      if (n > 0 || slot % 10 !== 0) continue;
      const sockets = Array.from({ length: HostOutcome.OUTCOME_MAX }, (_, outcome) =>
        outcome === HostOutcome.LED ? 5n : 0n,
      );
      put(host_port_counters, key, perCpu(host_port_counters.value.encode({ sockets })));
    }
  }
  const plan = { endpoints: endpoints.map((e) => e.planned), ports, hostPorts } as unknown as Plan;
  return { endpoints, plan };
}

function endpointIn(slot: number): PlacedEndpoint {
  const id = slot.toString(16).padStart(64, "0");
  const address = `10.${slot >> 16}.${(slot >> 8) & 255}.${slot & 255}`;
  const ip = { address, snatAddress: undefined, masquerade: true, filtered: false, gateway: true };
  const planned: PlannedEndpoint = {
    endpointId: id,
    containerId: id,
    container: `stack-${slot % 50}-service-${slot}`,
    networkId: "n",
    network: `stack-${slot % 50}_default`,
    ifindex: 100 + slot,
    device: `veth${slot.toString(16).padStart(7, "0")}`,
    bridgeIfindex: 3,
    bridge: `br-${(slot % 50).toString(16).padStart(12, "0")}`,
    ip: { 4: ip, 6: undefined },
    bridging: true,
    mtu: 1500,
    mac: new Uint8Array(6),
    bridgeMac: new Uint8Array(6),
  };
  const part = { address, snatAddress: "0.0.0.0", flags: 1 };
  const none = { address: "::", snatAddress: "::", flags: 0 };
  const { ifindex, bridgeIfindex, mtu, mac, bridgeMac } = planned;
  const endpoint = {
    idHash: BigInt(slot),
    generation: 1,
    ifindex,
    bridgeIfindex,
    mtu,
    flags: 1,
    mac,
    bridgeMac,
    ipv4: part,
    ipv6: none,
  };
  return { slot, planned, fresh: false, endpoint };
}

function source(reader: MapReader, endpoints: readonly PlacedEndpoint[]): MetricsSource {
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
  const containers = endpoints.map(({ planned }) => ({
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
  }));
  return {
    reader,
    status: () => status,
    engineState: { version: "29", apiVersion: "1.52", networks: [], containers, unsure: [], warnings: [] },
  };
}
