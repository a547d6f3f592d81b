import { type Dashboard, selected } from "./frame.js";
import { figure, lines, rows } from "./panels.js";
import { orNothing, rate, toContainer } from "./queries.js";

const s = selected(["network", "project", "container"]);
const policy = 'reason=~"source_denied|port_denied|limited"';
/** What keeps the container of a series only where it publishes something. */
const publishing = `and on (instance, container) fairway_published_port_info${s}`;

const ofPort = "{{container}} {{published}}/{{proto}}";
/** Of a metric of published ports, the ten ports with most of it. */
const busiest = (metric: string) => `topk(10, sum by (container, proto, published) (${rate(metric, s)}))`;

export const ports: Dashboard = {
  uid: "fairway-ports",
  title: "fairway / Published ports",
  description:
    "What the host publishes: where each port leads, what its containers do, who is refused, and how the host's own processes get there.",
  variables: ["network", "project", "container"],
  sections: [
    {
      title: "What is published",
      panels: [
        figure({
          title: "Published ports",
          description: "Published ports (address, port and protocol) of the chosen containers.",
          unit: "none",
          queries: [{ expr: `count(fairway_published_port_info${s})`, legend: "ports" }],
        }),
        figure({
          title: "Containers",
          description: "Containers that publish something.",
          unit: "none",
          queries: [
            {
              expr: `count(count by (instance, container) (fairway_published_port_info${s}))`,
              legend: "containers",
            },
          ],
        }),
        figure({
          title: "Refused",
          description:
            "Packets a second that the policy drops: denied sources, and more new connections than a port takes.",
          unit: "pps",
          queries: [
            {
              expr: `sum(${rate("fairway_endpoint_dropped_packets_total", selected([], policy))}) or vector(0)`,
              legend: "refused",
            },
          ],
          limits: { orange: 100, red: 10000 },
        }),
        figure({
          title: "Not made",
          description:
            "First packets a second for which no conntrack entry could be made: the table is full, or no port is free.",
          unit: "pps",
          queries: [
            {
              expr: `sum(${rate("fairway_slow_path_packets_total", selected([], 'reason="conntrack_failed"'))}) or vector(0)`,
              legend: "not made",
            },
          ],
          limits: { orange: 1, red: 100 },
        }),
        rows({
          title: "Ports",
          description: "Every published port and the container's address that it leads to.",
          unit: "none",
          queries: [{ expr: `fairway_published_port_info${s}` }],
          hidden: ["Value"],
        }),
      ],
    },
    {
      title: "Traffic of the ports",
      panels: [
        lines({
          title: "To ports",
          description:
            "Bytes a second of the ten busiest published ports, towards their containers: connections from outside and from other containers, by both paths. Not what docker-proxy carries.",
          unit: "Bps",
          stacked: true,
          queries: [{ expr: busiest("fairway_published_port_receive_bytes_total"), legend: ofPort }],
          link: toContainer,
        }),
        lines({
          title: "From ports",
          description: "Bytes a second of the ten busiest published ports, from their containers.",
          unit: "Bps",
          stacked: true,
          queries: [{ expr: busiest("fairway_published_port_transmit_bytes_total"), legend: ofPort }],
          link: toContainer,
        }),
        lines({
          title: "Packets to ports",
          description: "Packets a second of the ten published ports that most are for.",
          unit: "pps",
          queries: [{ expr: busiest("fairway_published_port_receive_packets_total"), legend: ofPort }],
          link: toContainer,
        }),
        lines({
          title: "Packets from ports",
          description: "Packets a second of the ten published ports that most come from.",
          unit: "pps",
          queries: [{ expr: busiest("fairway_published_port_transmit_packets_total"), legend: ofPort }],
          link: toContainer,
        }),
      ],
    },
    {
      title: "Traffic of the containers that publish",
      panels: [
        lines({
          title: "To them",
          description:
            "Bytes a second towards containers with a published port, whatever of theirs it is for.",
          unit: "Bps",
          stacked: true,
          queries: [
            {
              expr: `sum by (container) (${rate("fairway_endpoint_receive_bytes_total", s)} ${publishing})`,
              legend: "{{container}}",
            },
          ],
          link: toContainer,
        }),
        lines({
          title: "From them",
          description: "Bytes a second from containers with a published port.",
          unit: "Bps",
          stacked: true,
          queries: [
            {
              expr: `sum by (container) (${rate("fairway_endpoint_transmit_bytes_total", s)} ${publishing})`,
              legend: "{{container}}",
            },
          ],
          link: toContainer,
        }),
      ],
    },
    {
      title: "Connections",
      panels: [
        lines({
          title: "Connections",
          description: "A second, by published port: those that were made on the fast path.",
          unit: "cps",
          queries: [
            {
              expr: `sum by (container, proto, published) (${rate("fairway_published_port_connections_total", s)})`,
              legend: ofPort,
            },
          ],
        }),
        lines({
          title: "Refused, by port",
          description:
            "Packets a second that the port's policy refuses: its list of sources, its limit of new connections.",
          unit: "pps",
          queries: [
            {
              expr: `sum by (container, proto, published) (${rate("fairway_published_port_refused_packets_total", s)})`,
              legend: ofPort,
            },
          ],
        }),
      ],
    },
    {
      title: "Who does not get through",
      panels: [
        lines({
          title: "Refused by the policy",
          description:
            "Packets a second by container and reason. Those without a container were for no published port: the host's own list.",
          unit: "pps",
          queries: [
            {
              expr: orNothing(
                `sum by (container, reason) (${rate("fairway_endpoint_dropped_packets_total", selected([], policy))})`,
                "reason",
                "none",
              ),
              legend: "{{container}} {{reason}}",
            },
          ],
        }),
        lines({
          title: "First packets left to the kernel",
          description:
            "Connections that the kernel decides: rules of yours may concern them (filtered), conntrack has no room (conntrack_failed), answers would take another way (asymmetric_route).",
          unit: "pps",
          queries: [
            {
              expr: orNothing(
                `sum by (container, reason) (${rate("fairway_slow_path_packets_total", selected(["network", "project", "container"], 'direction="receive",reason=~"filtered|conntrack_failed|asymmetric_route|conntrack_state|flow_table_full"'))})`,
                "reason",
                "none",
              ),
              legend: "{{container}} {{reason}}",
            },
          ],
        }),
      ],
    },
    {
      title: "Processes of the host",
      panels: [
        lines({
          title: "Sockets that dialled a published port",
          description:
            "Sockets a second of the host's own processes. Fast: led straight to the container. Slow: left to docker-proxy or the engine's rules.",
          unit: "cps",
          queries: [
            {
              expr: orNothing(
                `sum by (published, path) (${rate("fairway_host_sockets_total", s)})`,
                "path",
                "none",
              ),
              legend: "{{published}} {{path}}",
            },
          ],
        }),
        lines({
          title: "Why they were not led",
          description: "Sockets a second by the reason why they went the engine's own way.",
          unit: "cps",
          queries: [
            {
              expr: orNothing(
                `sum by (reason) (${rate("fairway_host_sockets_total", selected(["network", "project", "container"], 'path="slow"'))})`,
                "reason",
                "none",
              ),
              legend: "{{reason}}",
            },
          ],
        }),
      ],
    },
  ],
};
