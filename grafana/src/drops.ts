import { type Dashboard, selected } from "./frame.js";
import { figure, lines, rows } from "./panels.js";
import { and, orNothing, rate, toContainer } from "./queries.js";

const s = selected(["network", "project", "container"]);
// What belongs to no endpoint has no network to be chosen by.
const all = selected([]);
const policy = 'reason=~"source_denied|port_denied|limited"';
const notPolicy = 'reason!~"source_denied|port_denied|limited"';
const dropped = "fairway_endpoint_dropped_packets_total";

export const drops: Dashboard = {
  uid: "fairway-drops",
  title: "fairway / Drops and policy",
  description:
    "Every packet that was dropped has a reason, and every packet that was left to the kernel has one too.",
  variables: ["network", "project", "container"],
  sections: [
    {
      title: "Now",
      panels: [
        figure({
          title: "By the policy",
          description: "Packets a second that lists and limits refuse: what they are for.",
          unit: "pps",
          queries: [{ expr: `sum(${rate(dropped, and(all, policy))}) or vector(0)`, legend: "policy" }],
        }),
        figure({
          title: "Otherwise",
          description:
            "Packets a second dropped for any other reason: malformed ones, impossible sources, rewrites that failed.",
          unit: "pps",
          queries: [{ expr: `sum(${rate(dropped, and(all, notPolicy))}) or vector(0)`, legend: "other" }],
          limits: { orange: 1, red: 100 },
        }),
        figure({
          title: "Networks on lists",
          description: "Entries of the lists of sources, the host's own and those of published ports.",
          unit: "none",
          queries: [
            { expr: `sum(fairway_map_entries${and(all, 'map=~"sources_ipv[46]"')})`, legend: "networks" },
          ],
        }),
        figure({
          title: "Ports with a policy",
          description: "Published ports with a list or a limit of their own.",
          unit: "none",
          queries: [
            { expr: `sum(fairway_map_entries${and(all, 'map=~"port_policies_ipv[46]"')})`, legend: "ports" },
          ],
        }),
      ],
    },
    {
      title: "Dropped",
      panels: [
        lines({
          title: "By reason",
          description: "Packets a second, everywhere.",
          unit: "pps",
          stacked: true,
          queries: [
            {
              expr: orNothing(`sum by (reason) (${rate(dropped, all)})`, "reason", "none"),
              legend: "{{reason}}",
            },
          ],
        }),
        lines({
          title: "By container",
          description: "Packets a second of the chosen containers, the ten most concerned.",
          unit: "pps",
          queries: [
            {
              expr: orNothing(
                `topk(10, sum by (container, direction) (${rate(dropped, s)}))`,
                "container",
                "none",
              ),
              legend: "{{container}} {{direction}}",
            },
          ],
          link: toContainer,
        }),
        lines({
          title: "Bytes, by reason",
          description:
            "Bytes a second of the packets dropped: a flood of small packets is not one of large ones.",
          unit: "Bps",
          stacked: true,
          queries: [
            {
              expr: orNothing(
                `sum by (reason) (${rate("fairway_endpoint_dropped_bytes_total", all)})`,
                "reason",
                "none",
              ),
              legend: "{{reason}}",
            },
          ],
        }),
        lines({
          title: "XDP, by uplink",
          description:
            "Packets a second that XDP let pass (to everything that comes after) and dropped, at each uplink where it is attached.",
          unit: "pps",
          queries: [
            {
              expr: orNothing(
                `sum by (device, verdict) (${rate("fairway_uplink_xdp_packets_total", all)})`,
                "device",
                "not attached",
              ),
              legend: "{{device}} {{verdict}}",
            },
          ],
        }),
        lines({
          title: "Sources that are being limited",
          description: "Entries of the tables of sources that opened connections to a port with a limit.",
          unit: "short",
          queries: [{ expr: `fairway_map_entries${and(all, 'map=~"limits_ipv[46]"')}`, legend: "{{map}}" }],
        }),
      ],
    },
    {
      title: "Left to the kernel",
      panels: [
        lines({
          title: "By reason",
          description:
            "Packets a second. Steady numbers of `anchor` and `tcp_control` are each connection's beginning and end.",
          unit: "pps",
          stacked: true,
          queries: [
            {
              expr: orNothing(
                `topk(10, sum by (reason) (${rate("fairway_slow_path_packets_total", all)}))`,
                "reason",
                "none",
              ),
              legend: "{{reason}}",
            },
          ],
        }),
        lines({
          title: "By container",
          description: "Packets a second of the chosen containers, the ten most concerned.",
          unit: "pps",
          queries: [
            {
              expr: orNothing(
                `topk(10, sum by (container, reason) (${rate("fairway_slow_path_packets_total", s)}))`,
                "container",
                "none",
              ),
              legend: "{{container}} {{reason}}",
            },
          ],
          link: toContainer,
        }),
        lines({
          title: "Rules of yours that keep connections slow",
          description:
            "Warnings of the plan about firewall rules: the kernel decides what they may concern, and fairway learns from it.",
          unit: "none",
          queries: [
            {
              expr: orNothing(
                `sum by (code) (fairway_plan_warnings${and(all, 'code=~".*_filtered"')})`,
                "code",
                "none",
              ),
              legend: "{{code}}",
            },
          ],
        }),
        lines({
          title: "Connections that could not be made",
          description:
            "First packets a second without a conntrack entry: the table is full, the tuple is taken, or no port is free.",
          unit: "pps",
          queries: [
            {
              expr: orNothing(
                `sum by (container, direction) (${rate("fairway_slow_path_packets_total", and(all, 'reason="conntrack_failed"'))})`,
                "container",
                "none",
              ),
              legend: "{{container}} {{direction}}",
            },
          ],
        }),
        rows({
          title: "Since the start",
          description: "Packets dropped since the datapath was loaded, by container and reason.",
          unit: "short",
          queries: [
            {
              expr: orNothing(
                `sum by (container, network, direction, reason) (${dropped}${all}) > 0`,
                "reason",
                "none",
              ),
            },
          ],
        }),
      ],
    },
  ],
};
