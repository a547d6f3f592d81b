import { Counter, type Registry } from "prom-client";
import type { TrafficCounter } from "../../datapath/reader.js";
import type { Collector, CollectorContext } from "../collector.js";

const directions = ["receive", "transmit"] as const;
const paths = ["fast", "slow"] as const;

/** Packets and bytes of every endpoint, by direction (seen from the container) and path. */
export function endpoints(registry: Registry, { source }: CollectorContext): Collector {
  const counter = (direction: string, unit: string, help: string) =>
    new Counter({
      name: `fairway_endpoint_${direction}_${unit}_total`,
      help,
      labelNames: ["container", "network", "path"] as const,
      registers: [registry],
    });
  const towards = "to the container (as on a wire: a GSO packet counts as its segments)";
  const from = "from the container (as on a wire: a GSO packet counts as its segments)";
  const metrics = {
    receive: {
      packets: counter("receive", "packets", `Packets ${towards}`),
      bytes: counter("receive", "bytes", "Bytes to the container, from the IP header on"),
    },
    transmit: {
      packets: counter("transmit", "packets", `Packets ${from}`),
      bytes: counter("transmit", "bytes", "Bytes from the container, from the IP header on"),
    },
  };

  return {
    name: "endpoints",
    update() {
      for (const endpoint of source.reader?.endpoints() ?? []) {
        for (const direction of directions) {
          for (const path of paths) {
            const labels = { container: endpoint.container, network: endpoint.network, path };
            const counted: TrafficCounter = endpoint[direction][path];
            metrics[direction].packets.inc(labels, Number(counted.packets));
            metrics[direction].bytes.inc(labels, Number(counted.bytes));
          }
        }
      }
    },
    reset() {
      for (const direction of directions) {
        metrics[direction].packets.reset();
        metrics[direction].bytes.reset();
      }
    },
  };
}
