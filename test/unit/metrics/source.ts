import type { DaemonStatus, MetricsSource } from "../../../src/controller/daemon.js";
import type {
  ConnectionReading,
  DatapathReader,
  EndpointReading,
  HandshakeReading,
  HostPortReading,
  PairReading,
  PortCountReading,
  PortReading,
  ProgramReading,
  ReasonReading,
  XdpReading,
} from "../../../src/datapath/reader.js";
import type { EngineContainer, EngineState } from "../../../src/docker/model.js";
import type { Metrics } from "../../../src/metrics/metrics.js";

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
  const none = { packets: 0, bytes: 0 };
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

/** A running container on the default network. */
export function container(change: Partial<EngineContainer> = {}): EngineContainer {
  return {
    id: "c".repeat(64),
    name: "web",
    labels: {},
    running: true,
    paused: false,
    networkMode: "bridge",
    sandboxKey: "/run/docker/netns/1",
    endpoints: [
      {
        networkId: "n".repeat(64),
        networkName: "bridge",
        endpointId: "e".repeat(64),
        address4: "172.17.0.2",
        gatewayPriority: 0,
      },
    ],
    ports: [],
    ...change,
  };
}

/** A source whose readings a test changes between scrapes. */
export class FakeSource implements MetricsSource {
  current = status();
  endpoints: EndpointReading[] = [];
  connections: ConnectionReading[] = [];
  handshakes: HandshakeReading[] = [];
  reasons: ReasonReading[] = [];
  ports: PortReading[] = [];
  portCounts: PortCountReading[] = [];
  hostPorts: HostPortReading[] = [];
  pairs: PairReading[] = [];
  pairsUncounted = 0;
  xdp: XdpReading[] = [];
  programs: ProgramReading[] = [];
  flowsCountedAt = 1;
  engineState: EngineState | undefined = {
    version: "28.3.1",
    apiVersion: "1.51",
    networks: [
      {
        id: "n".repeat(64),
        name: "bridge",
        driver: "bridge",
        internal: false,
        bridgeName: "docker0",
        subnets4: [],
        subnets6: [],
        ipv6: false,
        icc: true,
        masquerade: true,
        labels: {},
      },
    ],
    containers: [container()],
    unsure: [],
    warnings: [],
  };
  reader: DatapathReader | undefined = {
    endpoints: () => this.endpoints,
    endpointSteps: () => [this.endpoints],
    connectionSteps: () => [this.connections],
    handshakes: () => this.handshakes,
    reasons: () => this.reasons,
    reasonSteps: () => [this.reasons],
    pairSteps: () => [this.pairs],
    pairsUncounted: () => this.pairsUncounted,
    xdp: () => this.xdp,
    maps: () => [],
    mapSteps: () => [
      undefined,
      { map: "ports_ipv4", entries: 3, maxEntries: 1024, failedWrites: 1 },
      undefined,
    ],
    programs: () => this.programs,
    detached: () => [{ program: "endpoint_ingress", times: 1 }],
    flows: () => ({ entries: 3, maxEntries: 1024, inserted: 9, evicted: 2, countedAt: this.flowsCountedAt }),
    ports: () => this.ports,
    portCountSteps: () => [this.portCounts],
    hostPorts: () => this.hostPorts,
    hostPortSteps: () => [this.hostPorts],
    placements: () => this.endpoints,
  };

  status(): DaemonStatus {
    return this.current;
  }
}

/** One scrape. */
export async function textOf(metrics: Pick<Metrics, "scrape">): Promise<string> {
  const pieces: Buffer[] = [];
  await metrics.scrape((piece) => void pieces.push(Buffer.from(piece)));
  return Buffer.concat(pieces).toString();
}
