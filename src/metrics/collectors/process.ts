import { readdirSync, statSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { CollectorKind } from "../collector.js";
import { counter, gauge } from "../metric.js";

const cpu = counter({
  name: "process_cpu_seconds_total",
  unit: "seconds",
  help: "User and system CPU time that the daemon has spent",
});
const resident = gauge({
  name: "process_resident_memory_bytes",
  unit: "bytes",
  help: "Resident memory of the daemon",
});
const heap = gauge({
  name: "nodejs_heap_size_used_bytes",
  unit: "bytes",
  help: "Heap of the JavaScript engine in use",
});
const external = gauge({
  name: "nodejs_external_memory_bytes",
  unit: "bytes",
  help: "Memory of buffers and of C++ objects outside the JavaScript heap",
});
const delay = gauge({
  name: "nodejs_eventloop_lag_max_seconds",
  unit: "seconds",
  help: "The longest time since the last scrape that the daemon's event loop was held up",
});
const descriptors = gauge({
  name: "process_open_fds",
  unit: "descriptors",
  help: "Open file descriptors of the daemon",
});
const started = gauge({
  name: "process_start_time_seconds",
  unit: "seconds",
  help: "When the daemon was started, in seconds since the epoch",
});

/** How often the event loop is looked at, in ms; what is measured is longer by about that. */
const RESOLUTION_MS = 10;

/** The daemon itself, under the names that every Prometheus client gives a process. */
export const processCollector: CollectorKind = {
  name: "process",
  metrics: [cpu, resident, heap, external, delay, descriptors, started],
  create: () => {
    const startTime = Date.now() / 1000 - process.uptime();
    const loop = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    loop.enable();
    return {
      collect(out) {
        const { user, system } = process.cpuUsage();
        const memory = process.memoryUsage();
        out.add(cpu, [], (user + system) / 1e6);
        out.add(resident, [], memory.rss);
        out.add(heap, [], memory.heapUsed);
        out.add(external, [], memory.external);
        out.add(delay, [], Math.max(0, loop.max / 1e9 - RESOLUTION_MS / 1000));
        loop.reset();
        out.add(started, [], startTime);
        out.add(descriptors, [], openDescriptors());
        return undefined;
      },
    };
  },
};

/** The directory's size is their number (since Linux 6.2); to list thousands takes milliseconds. */
function openDescriptors(): number {
  const path = "/proc/self/fd";
  return statSync(path).size || readdirSync(path).length;
}
