import { type Dashboard, selected } from "./frame.js";
import { figure, lines, rows } from "./panels.js";
import { fastShare, orNothing, packets, rate, toContainer, toNetwork } from "./queries.js";

const s = selected([]);

export const host: Dashboard = {
  uid: "fairway-host",
  title: "fairway / Host overview",
  description:
    "One look at a Docker host's container network: is it well, how much goes through it, and on which path.",
  variables: [],
  sections: [
    {
      title: "State",
      panels: [
        figure({
          title: "Engine",
          description:
            "Whether fairway hears the engine's events. While it does not, what is there goes on, and what changes is not seen.",
          unit: "none",
          queries: [{ expr: `min(fairway_docker_connected${s})`, legend: "connected" }],
          limits: { orange: 1, red: 0.5 },
          words: { 0: "lost", 1: "connected" },
        }),
        figure({
          title: "Last good pass",
          description:
            "How long ago the datapath was last made what the engine has. A pass comes at least every minute.",
          unit: "s",
          queries: [
            { expr: `max(time() - fairway_reconcile_last_success_timestamp_seconds${s})`, legend: "ago" },
          ],
          limits: { orange: 90, red: 180 },
        }),
        figure({
          title: "Fast path",
          description:
            "The share of packets that fairway forwards itself. The rest is the kernel's, with the reasons below.",
          unit: "percentunit",
          queries: [{ expr: fastShare(s), legend: "fast" }],
          limits: { orange: 0.9, red: 0.5 },
        }),
        figure({
          title: "Drops",
          description: "Packets a second that fairway drops, for all reasons, policy included.",
          unit: "pps",
          queries: [
            {
              expr: `sum(${rate("fairway_endpoint_dropped_packets_total", s)}) or vector(0)`,
              legend: "drops",
            },
          ],
          limits: { orange: 1, red: 100 },
        }),
        figure({
          title: "Flow table",
          description:
            "How full the flow tables are. A full one forgets its coldest flow, which costs that one a look into conntrack.",
          unit: "percentunit",
          queries: [{ expr: `max(fairway_flows${s} / fairway_flows_max${s})`, legend: "used" }],
          limits: { orange: 0.8, red: 0.95 },
        }),
        figure({
          title: "Conntrack",
          description:
            "How full the kernel's connection table is. A full one refuses new connections, with or without fairway.",
          unit: "percentunit",
          queries: [
            { expr: `max(fairway_conntrack_entries${s} / fairway_conntrack_max${s})`, legend: "used" },
          ],
          limits: { orange: 0.8, red: 0.95 },
        }),
        figure({
          title: "Endpoints",
          description: "Containers' attachments to networks that are in the datapath.",
          unit: "none",
          queries: [{ expr: `sum(fairway_endpoints${s})`, legend: "endpoints" }],
        }),
        figure({
          title: "Published ports",
          description: "Published ports (address, port and protocol) that are in the datapath.",
          unit: "none",
          queries: [{ expr: `sum(fairway_published_ports${s})`, legend: "ports" }],
        }),
      ],
    },
    {
      title: "Traffic",
      panels: [
        lines({
          title: "To containers, by network",
          description:
            "Bytes a second towards the containers, from the IP header on, each segment with headers of its own, as on a wire.",
          unit: "Bps",
          stacked: true,
          queries: [
            {
              expr: `sum by (network) (${rate("fairway_endpoint_receive_bytes_total", s)})`,
              legend: "{{network}}",
            },
          ],
          link: toNetwork,
        }),
        lines({
          title: "From containers, by network",
          description: "Bytes a second that the containers send.",
          unit: "Bps",
          stacked: true,
          queries: [
            {
              expr: `sum by (network) (${rate("fairway_endpoint_transmit_bytes_total", s)})`,
              legend: "{{network}}",
            },
          ],
          link: toNetwork,
        }),
        lines({
          title: "Packets, by path",
          description:
            "Packets a second, both directions. Fast: forwarded by fairway. Slow: left to the kernel.",
          unit: "pps",
          stacked: true,
          queries: [{ expr: packets(s, "path"), legend: "{{path}}" }],
        }),
        lines({
          title: "Busiest containers",
          description: "The ten containers with the most bytes a second, both directions together.",
          unit: "Bps",
          queries: [
            {
              expr: `topk(10, sum by (container) (${rate("fairway_endpoint_receive_bytes_total", s)} + ${rate("fairway_endpoint_transmit_bytes_total", s)}))`,
              legend: "{{container}}",
            },
          ],
          link: toContainer,
        }),
      ],
    },
    {
      title: "What is not fast, and why",
      panels: [
        lines({
          title: "Left to the kernel, by reason",
          description:
            "Packets a second by the reason why fairway left them to the kernel; the ten most frequent reasons.",
          unit: "pps",
          queries: [
            {
              expr: orNothing(
                `topk(10, sum by (reason) (${rate("fairway_slow_path_packets_total", s)}))`,
                "reason",
                "none",
              ),
              legend: "{{reason}}",
            },
          ],
        }),
        lines({
          title: "Dropped, by reason",
          description:
            "Packets a second that were dropped. Those of the policy (source_denied, port_denied, limited) are wanted; others are not.",
          unit: "pps",
          queries: [
            {
              expr: orNothing(
                `sum by (reason) (${rate("fairway_endpoint_dropped_packets_total", s)})`,
                "reason",
                "none",
              ),
              legend: "{{reason}}",
            },
          ],
        }),
        lines({
          title: "Warnings of the plan",
          description:
            "What could be on the fast path and is not, by kind. `fairway status` has each in a line.",
          unit: "none",
          queries: [
            {
              expr: orNothing(`sum by (code) (fairway_plan_warnings${s})`, "code", "none"),
              legend: "{{code}}",
            },
          ],
        }),
        lines({
          title: "The daemon",
          description: "CPU time a second that the control plane takes. Packets need none of it.",
          unit: "percentunit",
          queries: [
            {
              expr: rate("process_cpu_seconds_total", s.replace("}", ',job="fairway"}')),
              legend: "{{instance}}",
            },
          ],
        }),
        rows({
          title: "Hosts",
          description: "What runs here: fairway, kernel, mode.",
          unit: "none",
          queries: [{ expr: `fairway_build_info${s}` }],
          hidden: ["Value"],
        }),
      ],
    },
  ],
};
