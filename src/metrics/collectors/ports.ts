import { withPort } from "../../ip.js";
import type { CollectorKind } from "../collector.js";
import { projects } from "../containers.js";
import { gauge } from "../metric.js";

const info = gauge({
  name: "fairway_published_port_info",
  unit: "none",
  help: "A published port that is in the datapath, and where it leads; always 1",
  labels: ["container", "project", "network", "proto", "published", "target"],
});
const count = gauge({
  name: "fairway_published_ports",
  unit: "ports",
  help: "Published ports (host address, port and protocol) that are in the datapath",
});

/** The published ports. */
export const ports: CollectorKind = {
  name: "ports",
  metrics: [info, count],
  create: ({ source }) => ({
    *collect(out) {
      const projectOf = projects(source.engineState?.containers ?? []);
      const all = source.reader?.ports();
      if (all === undefined) return;
      yield;
      out.add(count, [], all.length);
      for (const [index, port] of all.entries()) {
        const { container, containerId, network, proto, address, containerAddress, containerPort } = port;
        const published = withPort(address, port.port);
        const target = withPort(containerAddress, containerPort);
        out.add(info, [container, projectOf(containerId), network, proto, published, target], 1);
        if (index % 200 === 199) yield;
      }
    },
  }),
};
