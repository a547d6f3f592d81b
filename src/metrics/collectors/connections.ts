import type { ConnectionReading, DirectionConnections, EndpointNames } from "../../datapath/reader.js";
import type { CollectorKind } from "../collector.js";
import type { Exposition } from "../exposition.js";
import { type EngineNames, KeptLabels } from "../kept_labels.js";
import { counter, gauge, histogram } from "../metric.js";
import { inSteps } from "../pace.js";

const endpoint = ["container", "project", "network"] as const;
const directed = [...endpoint, "direction"] as const;
const transports = ["tcp", "udp"] as const;

const opened = counter({
  name: "fairway_endpoint_connections_opened_total",
  unit: "connections",
  help: "Connections that were opened to the container (receive) or by it; of UDP those made on the fast path, within a network there are none",
  labels: [...directed, "proto"],
});
const open = gauge({
  name: "fairway_endpoint_connections_open",
  unit: "connections",
  help: "Connections in the flow table, as the last sweep counted them, by who opened them; what is bridged has no place there",
  labels: [...directed, "proto"],
});
const halfOpen = gauge({
  name: "fairway_endpoint_connections_half_open",
  unit: "connections",
  help: "Open TCP connections whose handshake is not over",
  labels: directed,
});
const established = counter({
  name: "fairway_endpoint_handshakes_total",
  unit: "connections",
  help: "TCP handshakes that were completed, of connections made on the fast path",
  labels: directed,
});
const syn = counter({
  name: "fairway_endpoint_tcp_syn_packets_total",
  unit: "packets",
  help: "Packets that ask for a TCP connection (SYN without ACK), those that are sent again too",
  labels: directed,
});
const rst = counter({
  name: "fairway_endpoint_tcp_rst_packets_total",
  unit: "packets",
  help: "Packets that reset a TCP connection (RST)",
  labels: directed,
});
const snat = {
  allocated: counter({
    name: "fairway_endpoint_snat_allocations_total",
    unit: "ports",
    help: "Source ports given to masqueraded connections made on the fast path",
    labels: endpoint,
  }),
  retried: counter({
    name: "fairway_endpoint_snat_retries_total",
    unit: "ports",
    help: "Source ports given where the container's own was taken, so that another had to be looked for",
    labels: endpoint,
  }),
  failed: counter({
    name: "fairway_endpoint_snat_failures_total",
    unit: "ports",
    help: "Masqueraded connections that got no source port, or no conntrack entry: left to the kernel",
    labels: endpoint,
  }),
};
const taken = histogram({
  name: "fairway_network_handshake_duration_seconds",
  unit: "seconds",
  help: "From the SYN to the ACK that completes a TCP handshake, as they pass the host, of connections made on the fast path to (receive) or from containers of the network",
  labels: ["network", "direction"],
});

/**
 * Connections of every endpoint. There are no series of a direction (of SNAT: of an endpoint) that has had none: a thousand
 * containers that serve nobody would be thousands of zeros.
 */
export const connections: CollectorKind = {
  name: "connections",
  metrics: [opened, open, halfOpen, established, syn, rst, snat.allocated, snat.retried, snat.failed, taken],
  create: ({ source }) => {
    const kept = new KeptLabels(labelsOf);
    return {
      *collect(out) {
        kept.begin(source.engineState);
        yield* inSteps(source.reader?.connectionSteps() ?? [], 200, (reading) =>
          add(out, reading, kept.next(reading.endpoint)),
        );
        for (const { network, direction, ...handshakes } of source.reader?.handshakes() ?? [])
          out.addHistogram(taken, [network, direction], handshakes);
      },
    };
  },
};

function labelsOf({ containerId, container, network }: EndpointNames, { projectOf }: EngineNames) {
  const endpoint = [container, projectOf(containerId), network] as const;
  const directed = (direction: string) => {
    const of = [...endpoint, direction] as const;
    return { of, tcp: [...of, "tcp"] as const, udp: [...of, "udp"] as const };
  };
  return { endpoint, receive: directed("receive"), transmit: directed("transmit") };
}

type Labels = ReturnType<typeof labelsOf>;

function add(out: Exposition, reading: ConnectionReading, labels: Labels): void {
  addDirection(out, labels.receive, reading.receive);
  addDirection(out, labels.transmit, reading.transmit);
  const { allocated, retried, failed } = reading.snat;
  if (allocated + failed === 0) return;
  out.add(snat.allocated, labels.endpoint, allocated);
  out.add(snat.retried, labels.endpoint, retried);
  out.add(snat.failed, labels.endpoint, failed);
}

function addDirection(out: Exposition, labels: Labels["receive"], counted: DirectionConnections): void {
  for (const proto of transports) {
    const now = counted.open?.[proto] ?? 0;
    if (counted.opened[proto] === 0 && now === 0) continue;
    out.add(opened, labels[proto], counted.opened[proto]);
    if (counted.open !== undefined) out.add(open, labels[proto], now);
  }
  if (counted.syn + counted.rst + counted.established === 0) return;
  out.add(syn, labels.of, counted.syn);
  out.add(rst, labels.of, counted.rst);
  out.add(established, labels.of, counted.established);
  if (counted.halfOpen !== undefined) out.add(halfOpen, labels.of, counted.halfOpen);
}
