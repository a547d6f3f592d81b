import type { PortCountReading, PortReading } from "../../datapath/reader.js";
import type { CollectorKind } from "../collector.js";
import type { Exposition, LabelValues } from "../exposition.js";
import { type EngineNames, KeptLabels } from "../kept_labels.js";
import { counter } from "../metric.js";
import { inSteps } from "../pace.js";

const labels = ["container", "project", "network", "proto", "published"] as const;

const both =
  "by both paths; not what docker-proxy carries, the host's own processes', what comes in fragments, or ICMP";
const segments = "each segment of a GSO packet with headers of its own";
const traffic = {
  receive: {
    packets: counter({
      name: "fairway_published_port_receive_packets_total",
      unit: "packets",
      help: `Packets to the container of connections to a published port, ${both}`,
      labels,
    }),
    bytes: counter({
      name: "fairway_published_port_receive_bytes_total",
      unit: "bytes",
      help: `Bytes to the container of connections to a published port, from the IP header on, ${segments}; ${both}`,
      labels,
    }),
  },
  transmit: {
    packets: counter({
      name: "fairway_published_port_transmit_packets_total",
      unit: "packets",
      help: `Packets from the container of connections to a published port, ${both}`,
      labels,
    }),
    bytes: counter({
      name: "fairway_published_port_transmit_bytes_total",
      unit: "bytes",
      help: `Bytes from the container of connections to a published port, from the IP header on, ${segments}; ${both}`,
      labels,
    }),
  },
};
const opened = counter({
  name: "fairway_published_port_connections_total",
  unit: "connections",
  help: "Connections to a published port that were made on the fast path",
  labels,
});
const refused = counter({
  name: "fairway_published_port_refused_packets_total",
  unit: "packets",
  help: "Packets to a published port that its policy has refused: its list of sources, its limit of new connections",
  labels,
});

/** Traffic and connections of published ports. No series of what a port has had none of: a host may publish thousands that nobody dials. */
export const portCounters: CollectorKind = {
  name: "port_counters",
  metrics: [
    traffic.receive.packets,
    traffic.receive.bytes,
    traffic.transmit.packets,
    traffic.transmit.bytes,
    opened,
    refused,
  ],
  create: ({ source }) => {
    const kept = new KeptLabels(labelsOf);
    return {
      *collect(out) {
        kept.begin(source.engineState);
        yield* inSteps(source.reader?.portCountSteps() ?? [], 500, (reading) => {
          const names = kept.next(reading.port);
          addTraffic(out, "receive", names, reading);
          addTraffic(out, "transmit", names, reading);
          if (reading.opened > 0) out.add(opened, names, reading.opened);
          if (reading.refused > 0) out.add(refused, names, reading.refused);
        });
      },
    };
  },
};

function addTraffic(
  out: Exposition,
  direction: "receive" | "transmit",
  names: LabelValues<typeof labels>,
  reading: PortCountReading,
): void {
  const { packets, bytes } = reading[direction];
  if (packets === 0) return;
  out.add(traffic[direction].packets, names, packets);
  out.add(traffic[direction].bytes, names, bytes);
}

function labelsOf(port: PortReading, { projectOf }: EngineNames): LabelValues<typeof labels> {
  const { container, containerId, network, proto, published } = port;
  return [container, projectOf(containerId), network, proto, published];
}
