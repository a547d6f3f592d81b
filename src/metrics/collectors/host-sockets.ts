import { Counter, type Registry } from "prom-client";
import { withPort } from "../../ip.js";
import type { Collector, CollectorContext } from "../collector.js";

/** Sockets of the host's own processes that dialled a published port, by what became of them. */
export function hostSockets(registry: Registry, { source }: CollectorContext): Collector {
  const sockets = new Counter({
    name: "fairway_host_sockets_total",
    help: "Sockets of the host's processes that dialled a published port: led to the container (fast), or left to the engine's way (slow) for a reason",
    labelNames: ["container", "network", "proto", "published", "path", "reason"] as const,
    registers: [registry],
  });
  return {
    name: "host_sockets",
    update() {
      for (const port of source.reader?.hostPorts() ?? []) {
        const { container, network, proto } = port;
        const labels = { container, network, proto, published: withPort(port.address, port.port) };
        sockets.inc({ ...labels, path: "fast", reason: "" }, Number(port.led));
        for (const [reason, left] of Object.entries(port.left))
          sockets.inc({ ...labels, path: "slow", reason }, Number(left));
      }
    },
    reset() {
      sockets.reset();
    },
  };
}
