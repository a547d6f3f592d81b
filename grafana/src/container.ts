import { type Dashboard, selected } from "./frame.js";
import { figure, lines, rows } from "./panels.js";
import { fastShare, orNothing, packets, rate } from "./queries.js";

const s = selected(["network", "project", "container"]);

export const container: Dashboard = {
  uid: "fairway-container",
  title: "fairway / Container",
  description: "One container (or a compose project's): its traffic, its path, its drops, what it publishes.",
  variables: ["network", "project", "container"],
  sections: [
    {
      title: "Now",
      panels: [
        figure({
          title: "Receives",
          description: "Bytes a second towards the container.",
          unit: "Bps",
          queries: [{ expr: `sum(${rate("fairway_endpoint_receive_bytes_total", s)})`, legend: "receives" }],
        }),
        figure({
          title: "Transmits",
          description: "Bytes a second from the container.",
          unit: "Bps",
          queries: [
            { expr: `sum(${rate("fairway_endpoint_transmit_bytes_total", s)})`, legend: "transmits" },
          ],
        }),
        figure({
          title: "Fast path",
          description: "The share of its packets that fairway forwards itself.",
          unit: "percentunit",
          queries: [{ expr: fastShare(s), legend: "fast" }],
          limits: { orange: 0.9, red: 0.5 },
        }),
        figure({
          title: "Drops",
          description: "Packets a second to or from it that were dropped.",
          unit: "pps",
          queries: [
            {
              expr: `sum(${rate("fairway_endpoint_dropped_packets_total", s)}) or vector(0)`,
              legend: "drops",
            },
          ],
          limits: { orange: 1, red: 100 },
        }),
      ],
    },
    {
      title: "Traffic",
      panels: [
        lines({
          title: "Bytes to it, by network and path",
          description:
            "Bytes a second from the IP header on, each segment with headers of its own, as on a wire.",
          unit: "Bps",
          stacked: true,
          queries: [
            {
              expr: `sum by (container, network, path) (${rate("fairway_endpoint_receive_bytes_total", s)})`,
              legend: "{{container}} {{network}} {{path}}",
            },
          ],
        }),
        lines({
          title: "Bytes from it, by network and path",
          description: "Bytes a second that it sends.",
          unit: "Bps",
          stacked: true,
          queries: [
            {
              expr: `sum by (container, network, path) (${rate("fairway_endpoint_transmit_bytes_total", s)})`,
              legend: "{{container}} {{network}} {{path}}",
            },
          ],
        }),
        lines({
          title: "Packets",
          description: "Packets a second by direction, as seen from the container.",
          unit: "pps",
          queries: [
            {
              expr: `sum by (container) (${rate("fairway_endpoint_receive_packets_total", s)})`,
              legend: "{{container}} receives",
            },
            {
              expr: `sum by (container) (${rate("fairway_endpoint_transmit_packets_total", s)})`,
              legend: "{{container}} transmits",
            },
          ],
        }),
        lines({
          title: "Bytes in a packet",
          description: "The mean size of its packets. Small ones cost as much as large ones.",
          unit: "bytes",
          queries: [
            {
              expr: `sum by (container) (${rate("fairway_endpoint_receive_bytes_total", s)} + ${rate("fairway_endpoint_transmit_bytes_total", s)}) / (${packets(s, "container")} > 0)`,
              legend: "{{container}}",
            },
          ],
        }),
      ],
    },
    {
      title: "Connections",
      panels: [
        lines({
          title: "Opened",
          description:
            "Connections a second that others open to it (receive) and that it opens. UDP's are those on the fast path.",
          unit: "cps",
          queries: [
            {
              expr: `sum by (container, direction, proto) (${rate("fairway_endpoint_connections_opened_total", s)})`,
              legend: "{{container}} {{direction}} {{proto}}",
            },
          ],
        }),
        lines({
          title: "Open",
          description:
            "Connections in the flow table, and of these the TCP connections whose handshake is not over.",
          unit: "none",
          queries: [
            {
              expr: `sum by (container, direction, proto) (fairway_endpoint_connections_open${s})`,
              legend: "{{container}} {{direction}} {{proto}}",
            },
            {
              expr: `sum by (container, direction) (fairway_endpoint_connections_half_open${s})`,
              legend: "{{container}} {{direction}} half open",
            },
          ],
        }),
        lines({
          title: "Asked for, completed, reset",
          description:
            "TCP a second: SYNs, handshakes completed on the fast path, RSTs. SYNs without handshakes are a flood, or nobody who answers.",
          unit: "cps",
          queries: [
            {
              expr: `sum by (container, direction) (${rate("fairway_endpoint_tcp_syn_packets_total", s)})`,
              legend: "{{container}} {{direction}} SYN",
            },
            {
              expr: `sum by (container, direction) (${rate("fairway_endpoint_handshakes_total", s)})`,
              legend: "{{container}} {{direction}} completed",
            },
            {
              expr: `sum by (container, direction) (${rate("fairway_endpoint_tcp_rst_packets_total", s)})`,
              legend: "{{container}} {{direction}} RST",
            },
          ],
        }),
        lines({
          title: "Source ports",
          description:
            "Ports a second given to its masqueraded connections, those where its own was taken, and those that got none.",
          unit: "cps",
          queries: [
            {
              expr: orNothing(
                `sum by (container) (${rate("fairway_endpoint_snat_allocations_total", s)})`,
                "container",
                "none",
              ),
              legend: "{{container}} given",
            },
            {
              expr: orNothing(
                `sum by (container) (${rate("fairway_endpoint_snat_retries_total", s)})`,
                "container",
                "none",
              ),
              legend: "{{container}} another one",
            },
            {
              expr: orNothing(
                `sum by (container) (${rate("fairway_endpoint_snat_failures_total", s)})`,
                "container",
                "none",
              ),
              legend: "{{container}} none",
            },
          ],
        }),
      ],
    },
    {
      title: "What is not fast",
      panels: [
        lines({
          title: "Left to the kernel, by reason",
          description: "Packets a second by direction and reason.",
          unit: "pps",
          queries: [
            {
              expr: orNothing(
                `topk(10, sum by (container, direction, reason) (${rate("fairway_slow_path_packets_total", s)}))`,
                "reason",
                "none",
              ),
              legend: "{{container}} {{direction}} {{reason}}",
            },
          ],
        }),
        lines({
          title: "Dropped, by reason",
          description: "Packets a second by direction and reason.",
          unit: "pps",
          queries: [
            {
              expr: orNothing(
                `sum by (container, direction, reason) (${rate("fairway_endpoint_dropped_packets_total", s)})`,
                "reason",
                "none",
              ),
              legend: "{{container}} {{direction}} {{reason}}",
            },
          ],
        }),
        rows({
          title: "Endpoints",
          description: "Its ids, addresses and devices.",
          unit: "none",
          queries: [{ expr: `fairway_endpoint_info${s}` }],
          hidden: ["Value"],
        }),
        rows({
          title: "Containers",
          description: "Compose project and service, and the labels that `metrics-labels` lets through.",
          unit: "none",
          queries: [{ expr: `fairway_container_info${selected(["project", "container"])}` }],
          hidden: ["Value"],
        }),
      ],
    },
  ],
};
