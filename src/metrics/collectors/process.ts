import { readdirSync } from "node:fs";
import { Counter, type Registry } from "prom-client";
import type { Collector } from "../collector.js";
import { SingleGauge } from "../gauges.js";

/** The daemon itself, under the names that every Prometheus client gives a process. */
export function processCollector(registry: Registry): Collector {
  const registers = [registry];
  const cpu = new Counter({
    name: "process_cpu_seconds_total",
    help: "Total user and system CPU time spent in seconds",
    registers,
  });
  const resident = new SingleGauge(
    registry,
    "process_resident_memory_bytes",
    "Resident memory size in bytes",
  );
  const heap = new SingleGauge(
    registry,
    "nodejs_heap_size_used_bytes",
    "Heap of the JavaScript engine in use, in bytes",
  );
  const descriptors = new SingleGauge(registry, "process_open_fds", "Number of open file descriptors");
  const started = new SingleGauge(
    registry,
    "process_start_time_seconds",
    "Start time of the process since unix epoch in seconds",
  );
  const startTime = Date.now() / 1000 - process.uptime();

  return {
    name: "process",
    update() {
      const { user, system } = process.cpuUsage();
      cpu.inc((user + system) / 1e6);
      const memory = process.memoryUsage();
      resident.set(memory.rss);
      heap.set(memory.heapUsed);
      started.set(startTime);
      descriptors.set(readdirSync("/proc/self/fd").length);
    },
    reset() {
      cpu.reset();
      for (const gauge of [resident, heap, descriptors, started]) gauge.clear();
    },
  };
}
