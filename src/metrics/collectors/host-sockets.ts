import type { CollectorKind } from "../collector.js";
import { projects } from "../containers.js";
import { counter } from "../metric.js";

const sockets = counter({
  name: "fairway_host_sockets_total",
  unit: "sockets",
  help: "Sockets of the host's processes that dialled a published port: led to the container (fast), or left to the engine's way (slow) for a reason; no series for ports that nobody has dialled",
  labels: ["container", "project", "network", "proto", "published", "path", "reason"],
});

/** Sockets of the host's own processes that dialled a published port, by what became of them. */
export const hostSockets: CollectorKind = {
  name: "host_sockets",
  metrics: [sockets],
  create: ({ source }) => ({
    *collect(out) {
      const projectOf = projects(source.engineState?.containers ?? []);
      const ports = source.reader?.hostPortSteps() ?? [];
      for (const readings of ports) {
        yield;
        for (const port of readings) {
          if (port.led === 0 && Object.keys(port.left).length === 0) continue;
          const { container, containerId, network, proto, published } = port;
          const of = [container, projectOf(containerId), network, proto, published] as const;
          out.add(sockets, [...of, "fast", ""], port.led);
          for (const [reason, left] of Object.entries(port.left))
            out.add(sockets, [...of, "slow", reason], left);
        }
      }
    },
  }),
};
