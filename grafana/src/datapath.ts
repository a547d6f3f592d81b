import { type Dashboard, selected } from "./frame.js";
import { figure, lines, rows } from "./panels.js";
import { and, orNothing, rate } from "./queries.js";

const s = selected([]);
// Arrays have what they have, whatever happens.
const filled = and(
  s,
  'map!~"control|icmp_scratch|parent_filter|endpoint_counters|masquerade_ports|flow_table_counters|sync_budgets|source_blocks|xdp_counters|pairs_uncounted|open_connections|tcp_controls"',
);
const own = and(s, 'job="fairway"');

export const datapath: Dashboard = {
  uid: "fairway-datapath",
  title: "fairway / Datapath internals",
  description:
    "Maps, programs, passes and the daemon itself: for those who ask why fairway does what it does.",
  variables: [],
  sections: [
    {
      title: "Flow tables",
      panels: [
        figure({
          title: "Flows",
          description: "Entries of the flow tables, two for a connection.",
          unit: "short",
          queries: [{ expr: `sum(fairway_flows${s})`, legend: "flows" }],
        }),
        figure({
          title: "Evicted",
          description: "Entries a second that a full table forgot to make room.",
          unit: "cps",
          queries: [{ expr: `sum(${rate("fairway_flow_table_evicted_total", s)})`, legend: "evicted" }],
          limits: { orange: 1, red: 1000 },
        }),
        figure({
          title: "Last sweep",
          description:
            "How long ago idle entries were last taken out. It is every second, or less often where a walk takes long.",
          unit: "s",
          queries: [
            { expr: `max(time() - fairway_flow_table_last_sweep_timestamp_seconds${s})`, legend: "ago" },
          ],
          limits: { orange: 30, red: 120 },
        }),
        figure({
          title: "Detached by others",
          description:
            "Programs that somebody else has detached in the last hour. They were attached again at the next pass.",
          unit: "none",
          queries: [{ expr: `sum(increase(fairway_program_detached_total${s}[1h]))`, legend: "detached" }],
          limits: { orange: 1, red: 10 },
        }),
        lines({
          title: "Entries",
          description: "Entries of the flow tables against their size.",
          unit: "short",
          queries: [
            { expr: `fairway_flows${s}`, legend: "{{instance}} used" },
            { expr: `fairway_flows_max${s}`, legend: "{{instance}} size" },
          ],
        }),
        lines({
          title: "Entries put in, and forgotten",
          description:
            "Entries a second. Many of both: the table is too small for the flows that live at once (flows-max).",
          unit: "cps",
          queries: [
            { expr: rate("fairway_flow_table_inserted_total", s), legend: "{{instance}} put in" },
            { expr: rate("fairway_flow_table_evicted_total", s), legend: "{{instance}} forgotten" },
          ],
        }),
      ],
    },
    {
      title: "Maps and programs",
      panels: [
        lines({
          title: "How full the maps are",
          description:
            "Entries against the size, the ten fullest. What finds no room takes the slow path; LRU maps forget.",
          unit: "percentunit",
          max: 1,
          queries: [
            {
              expr: `topk(10, fairway_map_entries${filled} / fairway_map_max_entries${filled})`,
              legend: "{{map}}",
            },
          ],
        }),
        lines({
          title: "Writes that found no room",
          description: "Map entries a second that the control plane could not write. Must be zero.",
          unit: "cps",
          queries: [
            {
              expr: `sum by (map) (${rate("fairway_map_write_failures_total", s)} > 0) or vector(0)`,
              legend: "{{map}}",
            },
          ],
        }),
        lines({
          title: "Time of a run",
          description: "By program, while sysctl kernel.bpf_stats_enabled is 1.",
          unit: "s",
          queries: [
            {
              expr: orNothing(
                `sum by (program) (${rate("fairway_program_run_seconds_total", s)}) / (sum by (program) (${rate("fairway_program_runs_total", s)}) > 0)`,
                "program",
                "bpf_stats are off",
              ),
              legend: "{{program}}",
            },
          ],
        }),
        lines({
          title: "Runs",
          description: "Runs a second by program, while sysctl kernel.bpf_stats_enabled is 1.",
          unit: "cps",
          queries: [
            {
              expr: orNothing(
                `sum by (program) (${rate("fairway_program_runs_total", s)})`,
                "program",
                "bpf_stats are off",
              ),
              legend: "{{program}}",
            },
          ],
        }),
        rows({
          title: "Maps",
          description: "Entries in use, by map.",
          unit: "none",
          queries: [{ expr: `fairway_map_entries${s}` }],
        }),
      ],
    },
    {
      title: "Control plane",
      panels: [
        lines({
          title: "How long a pass takes",
          description:
            "From listing the engine to the maps written, over the last five minutes: the median, 90 and 99 of 100.",
          unit: "s",
          queries: [0.5, 0.9, 0.99].map((quantile) => ({
            expr: `histogram_quantile(${quantile}, sum by (le) (rate(fairway_reconcile_duration_seconds_bucket${s}[5m])))`,
            legend: `${quantile * 100} %`,
          })),
        }),
        lines({
          title: "Where the time goes",
          description:
            "Seconds a second that passes spend asking the engine, looking at the host, and writing.",
          unit: "percentunit",
          stacked: true,
          queries: [
            {
              expr: `sum by (phase) (${rate("fairway_reconcile_phase_seconds_total", s)})`,
              legend: "{{phase}}",
            },
          ],
        }),
        lines({
          title: "Passes, by result and cause",
          description: "Passes a second, and what set them off; of several causes at once the first counts.",
          unit: "cps",
          queries: [
            { expr: `sum by (result) (${rate("fairway_reconciles_total", s)})`, legend: "{{result}}" },
            {
              expr: `sum by (trigger) (${rate("fairway_reconcile_triggers_total", s)})`,
              legend: "by {{trigger}}",
            },
          ],
        }),
        lines({
          title: "What passes change",
          description: "Map entries and attached programs a second.",
          unit: "cps",
          queries: [
            { expr: `sum by (change) (${rate("fairway_reconcile_changes_total", s)})`, legend: "{{change}}" },
          ],
        }),
        lines({
          title: "Events of the engine",
          description: "Events a second by type, and how often the stream was lost.",
          unit: "cps",
          queries: [
            { expr: `sum by (type) (${rate("fairway_docker_events_total", s)})`, legend: "{{type}}" },
            { expr: `sum(${rate("fairway_docker_disconnects_total", s)})`, legend: "disconnects" },
          ],
        }),
        lines({
          title: "What a scrape takes",
          description: "By collector, and (held) the longest time that it held up everything else.",
          unit: "s",
          queries: [
            {
              expr: `topk(5, max by (collector) (fairway_collector_duration_seconds${s}))`,
              legend: "{{collector}}",
            },
            { expr: `max(fairway_collector_held_seconds${s})`, legend: "held" },
          ],
        }),
      ],
    },
    {
      title: "The daemon",
      panels: [
        lines({
          title: "Memory",
          description:
            "Resident memory of the daemon, and what of it JavaScript's heap and buffers are. Maps are the kernel's and not in it.",
          unit: "bytes",
          queries: [
            { expr: `process_resident_memory_bytes${own}`, legend: "{{instance}} resident" },
            { expr: `nodejs_heap_size_used_bytes${own}`, legend: "{{instance}} heap" },
            { expr: `nodejs_external_memory_bytes${own}`, legend: "{{instance}} buffers" },
          ],
        }),
        lines({
          title: "CPU, and the event loop",
          description:
            "CPU seconds a second, and the longest time between two scrapes that the daemon could not answer.",
          unit: "s",
          queries: [
            { expr: rate("process_cpu_seconds_total", own), legend: "{{instance}} CPU" },
            { expr: `nodejs_eventloop_lag_max_seconds${own}`, legend: "{{instance}} held up" },
          ],
        }),
        lines({
          title: "Open files",
          description:
            "File descriptors of the daemon: maps, programs, and a link for each program at each device.",
          unit: "none",
          queries: [{ expr: `process_open_fds${own}`, legend: "{{instance}}" }],
        }),
        lines({
          title: "Running since",
          description: "How long the daemon has been running. Packets do not notice when it starts anew.",
          unit: "s",
          queries: [{ expr: `time() - process_start_time_seconds${own}`, legend: "{{instance}}" }],
        }),
      ],
    },
  ],
};
