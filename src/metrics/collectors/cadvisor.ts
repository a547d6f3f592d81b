import type { CollectorKind } from "../collector.js";
import { counter } from "../metric.js";
import { inSteps } from "../pace.js";

const labels = ["id", "name", "interface"] as const;
const both =
  "fairway's own counters under cAdvisor's name; `interface` is the network, bytes are without the Ethernet header";
const metrics = {
  receive: {
    packets: counter({
      name: "container_network_receive_packets_total",
      unit: "packets",
      help: `Packets to the container: ${both}`,
      labels,
    }),
    bytes: counter({
      name: "container_network_receive_bytes_total",
      unit: "bytes",
      help: `Bytes to the container: ${both}`,
      labels,
    }),
    dropped: counter({
      name: "container_network_receive_packets_dropped_total",
      unit: "packets",
      help: "Packets to the container that fairway dropped, under cAdvisor's name",
      labels,
    }),
  },
  transmit: {
    packets: counter({
      name: "container_network_transmit_packets_total",
      unit: "packets",
      help: `Packets from the container: ${both}`,
      labels,
    }),
    bytes: counter({
      name: "container_network_transmit_bytes_total",
      unit: "bytes",
      help: `Bytes from the container: ${both}`,
      labels,
    }),
    dropped: counter({
      name: "container_network_transmit_packets_dropped_total",
      unit: "packets",
      help: "Packets from the container that fairway dropped, under cAdvisor's name",
      labels,
    }),
  },
};
const directions = ["receive", "transmit"] as const;

/** What dashboards made for cAdvisor ask of a container's network; opt-in. */
export const cadvisor: CollectorKind = {
  name: "cadvisor",
  metrics: directions.flatMap((direction) => Object.values(metrics[direction])),
  create: ({ source, cadvisor: wanted = false }) =>
    wanted
      ? {
          *collect(out) {
            yield* inSteps(source.reader?.endpointSteps() ?? [], 100, (endpoint) => {
              const { containerId, container, network } = endpoint;
              const of = [`/docker/${containerId}`, container, network] as const;
              for (const direction of directions) {
                const { fast, slow } = endpoint[direction];
                out.add(metrics[direction].packets, of, fast.packets + slow.packets);
                out.add(metrics[direction].bytes, of, fast.bytes + slow.bytes);
                out.add(metrics[direction].dropped, of, 0);
              }
            });
            yield* inSteps(source.reader?.reasonSteps() ?? [], 500, (reading) => {
              const { verdict, container, containerId, network, direction, packets } = reading;
              if (verdict !== "drop" || container === undefined || network === undefined) return;
              out.add(metrics[direction].dropped, [`/docker/${containerId}`, container, network], packets);
            });
          },
        }
      : undefined,
};
