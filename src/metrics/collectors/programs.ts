import type { CollectorKind } from "../collector.js";
import { counter } from "../metric.js";

const labels = ["program"] as const;
const runs = counter({
  name: "fairway_program_runs_total",
  unit: "runs",
  help: "Runs of a BPF program, counted while sysctl kernel.bpf_stats_enabled is 1 (which costs each run some 20 ns)",
  labels,
});
const seconds = counter({
  name: "fairway_program_run_seconds_total",
  unit: "seconds",
  help: "Time that the runs of a BPF program took, counted while sysctl kernel.bpf_stats_enabled is 1",
  labels,
});
const detached = counter({
  name: "fairway_program_detached_total",
  unit: "events",
  help: "How often a program was found detached from a device by somebody else; it is attached again at once",
  labels,
});

/** The BPF programs. Runs have no series until they were ever counted: none is not zero. */
export const programs: CollectorKind = {
  name: "programs",
  metrics: [runs, seconds, detached],
  create: ({ source }) => ({
    collect(out) {
      for (const program of source.reader?.programs() ?? []) {
        out.add(detached, [program.program], 0);
        if (program.runs === 0) continue;
        out.add(runs, [program.program], program.runs);
        out.add(seconds, [program.program], program.runTimeNs / 1e9);
      }
      for (const { program, times } of source.reader?.detached() ?? []) out.add(detached, [program], times);
      return undefined;
    },
  }),
};
