import type { DaemonStatus, MetricsSource } from "../../../src/controller/daemon.js";
import type {
  DatapathReader,
  EndpointReading,
  HostPortReading,
  ReasonReading,
} from "../../../src/datapath/reader.js";

/** A daemon that is ready, with nothing on it. */
export function status(change: Partial<DaemonStatus> = {}): DaemonStatus {
  return {
    state: "ready",
    pid: 1,
    startedAt: 1,
    mode: "accelerate",
    attach: "tcx",
    bpffs: "/sys/fs/bpf/fairway",
    adopted: false,
    engine: {
      connected: true,
      address: "unix:///var/run/docker.sock",
      version: "28.3.1",
      apiVersion: "1.51",
      disconnects: 2,
      error: undefined,
    },
    uplinks: [],
    hostSockets: "attached",
    leftToEngine: [],
    trustFirewall: "auto",
    counts: { endpoints: 0, ports: 0, hostPorts: 0, flows: 0, flowsMax: 1024 },
    reconcile: { count: 1, failures: 0, lastSuccessAt: 1_700_000_000_500, last: undefined },
    warnings: [],
    ...change,
  };
}

export function endpoint(change: Partial<EndpointReading> = {}): EndpointReading {
  const none = { packets: 0n, bytes: 0n };
  return {
    slot: 0,
    generation: 1,
    endpointId: "e".repeat(64),
    containerId: "c".repeat(64),
    container: "web",
    network: "bridge",
    addresses: ["172.17.0.2"],
    ifindex: 5,
    device: "veth1",
    bridge: "docker0",
    masquerade: true,
    bridging: true,
    receive: { fast: none, slow: none },
    transmit: { fast: none, slow: none },
    ...change,
  };
}

/** A source whose readings a test changes between scrapes. */
export class FakeSource implements MetricsSource {
  current = status();
  endpoints: EndpointReading[] = [];
  reasons: ReasonReading[] = [];
  hostPorts: HostPortReading[] = [];
  flowsCountedAt = 1;
  reader: DatapathReader | undefined = {
    endpoints: () => this.endpoints,
    reasons: () => this.reasons,
    maps: () => [{ map: "ports_ipv4", entries: 3, maxEntries: 1024, failedWrites: 1 }],
    flows: () => ({ entries: 3, maxEntries: 1024, inserted: 9, evicted: 2, countedAt: this.flowsCountedAt }),
    ports: () => [],
    hostPorts: () => this.hostPorts,
  };

  status(): DaemonStatus {
    return this.current;
  }
}
