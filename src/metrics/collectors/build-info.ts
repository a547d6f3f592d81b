import { Gauge, type Registry } from "prom-client";
import type { Collector, CollectorContext } from "../collector.js";

/** What is running here. */
export function buildInfo(registry: Registry, { source, version, kernel }: CollectorContext): Collector {
  const info = new Gauge({
    name: "fairway_build_info",
    help: "fairway's version, the kernel's and the mode; always 1",
    labelNames: ["version", "kernel", "mode"] as const,
    registers: [registry],
  });

  return {
    name: "build_info",
    update() {
      info.set({ version, kernel, mode: source.status().mode }, 1);
    },
    reset() {
      info.reset();
    },
  };
}
