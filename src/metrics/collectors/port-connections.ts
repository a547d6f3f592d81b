import { withPort } from "../../ip.js";
import type { CollectorKind } from "../collector.js";
import { projects } from "../containers.js";
import { counter } from "../metric.js";

const labels = ["container", "project", "network", "proto", "published"] as const;
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

/** Connections of published ports; no series of those that have had none. */
export const portConnections: CollectorKind = {
  name: "port_connections",
  metrics: [opened, refused],
  create: ({ source }) => ({
    *collect(out) {
      const projectOf = projects(source.engineState?.containers ?? []);
      for (const readings of source.reader?.portCountSteps() ?? []) {
        yield;
        for (const [index, { port, ...counted }] of readings.entries()) {
          const { container, containerId, network, proto, address } = port;
          const published = withPort(address, port.port);
          const of = [container, projectOf(containerId), network, proto, published] as const;
          out.add(opened, of, counted.opened);
          out.add(refused, of, counted.refused);
          if (index % 200 === 199) yield;
        }
      }
    },
  }),
};
