import { type Dashboard, selected } from "./frame.js";
import { figure, lines, matrix, rows } from "./panels.js";
import { fastShare, orNothing, packets, rate, toContainer } from "./queries.js";

const s = selected(["network"]);

export const network: Dashboard = {
  uid: "fairway-network",
  title: "fairway / Network",
  description: "One network of the engine: who is on it, what goes through it and by which path.",
  variables: ["network"],
  sections: [
    {
      title: "The network",
      panels: [
        figure({
          title: "Endpoints",
          description: "Endpoints of the chosen networks that are in the datapath.",
          unit: "none",
          queries: [{ expr: `sum(fairway_endpoints${s})`, legend: "endpoints" }],
        }),
        figure({
          title: "Not in the datapath",
          description:
            "Endpoints on bridge networks that the engine has and the datapath does not (yet). They work, by the kernel.",
          unit: "none",
          queries: [
            {
              expr: `sum(fairway_network_endpoints${selected(["network"], 'driver="bridge"')}) - sum(fairway_endpoints${s})`,
              legend: "missing",
            },
          ],
          limits: { orange: 1, red: 10 },
        }),
        figure({
          title: "Fast path",
          description: "The share of these networks' packets that fairway forwards itself.",
          unit: "percentunit",
          queries: [{ expr: fastShare(s), legend: "fast" }],
          limits: { orange: 0.9, red: 0.5 },
        }),
        figure({
          title: "Packets",
          description: "Packets a second, both directions, both paths.",
          unit: "pps",
          queries: [{ expr: `sum(${packets(s, "network")})`, legend: "packets" }],
        }),
        rows({
          title: "Networks",
          description: "Driver, bridge, and what the network allows.",
          unit: "none",
          queries: [{ expr: `fairway_network_info${s}` }],
          hidden: ["Value"],
        }),
      ],
    },
    {
      title: "Traffic",
      panels: [
        lines({
          title: "To containers",
          description: "Bytes a second towards each container.",
          unit: "Bps",
          stacked: true,
          queries: [
            {
              expr: `sum by (container) (${rate("fairway_endpoint_receive_bytes_total", s)})`,
              legend: "{{container}}",
            },
          ],
          link: toContainer,
        }),
        lines({
          title: "From containers",
          description: "Bytes a second from each container.",
          unit: "Bps",
          stacked: true,
          queries: [
            {
              expr: `sum by (container) (${rate("fairway_endpoint_transmit_bytes_total", s)})`,
              legend: "{{container}}",
            },
          ],
          link: toContainer,
        }),
        lines({
          title: "Packets by network and path",
          description: "Packets a second, both directions.",
          unit: "pps",
          stacked: true,
          queries: [{ expr: packets(s, "network, path"), legend: "{{network}} {{path}}" }],
        }),
        lines({
          title: "Share on the fast path",
          description: "By network. What stays slow for long has its reason in the next panel.",
          unit: "percentunit",
          max: 1,
          queries: [{ expr: fastShare(s, "network"), legend: "{{network}}" }],
        }),
      ],
    },
    {
      title: "Who sends whom",
      panels: [
        lines({
          title: "Between containers",
          description:
            "Bytes a second that one container sends another within a network with the label fairway.matrix=true; the ten busiest pairs.",
          unit: "Bps",
          queries: [
            {
              expr: orNothing(
                `topk(10, sum by (network, from, to) (${rate("fairway_network_pair_bytes_total", s)}))`,
                "network",
                "no network has fairway.matrix=true",
              ),
              legend: "{{network}}: {{from}} to {{to}}",
            },
          ],
        }),
        lines({
          title: "Packets between containers",
          description:
            "Packets a second of the ten busiest pairs, and (no pair) those for which there was no room: 16,384 pairs are counted.",
          unit: "pps",
          queries: [
            {
              expr: orNothing(
                `topk(10, sum by (network, from, to) (${rate("fairway_network_pair_packets_total", s)}))`,
                "network",
                "no network has fairway.matrix=true",
              ),
              legend: "{{network}}: {{from}} to {{to}}",
            },
            {
              expr: `sum(${rate("fairway_network_pair_uncounted_packets_total", selected([]))})`,
              legend: "no pair",
            },
          ],
        }),
        matrix({
          title: "Matrix",
          description:
            "Bytes a second that each container (row) sends each other (column) now, within networks with the label fairway.matrix=true.",
          unit: "Bps",
          row: "from",
          column: "to",
          query: {
            expr: orNothing(
              `sum by (from, to) (${rate("fairway_network_pair_bytes_total", s)})`,
              "from",
              "no network has fairway.matrix=true",
            ),
          },
        }),
      ],
    },
    {
      title: "Connections",
      panels: [
        lines({
          title: "Handshakes",
          description:
            "How long half and nine in ten of the TCP handshakes on the fast path took, from the SYN to the ACK that completes it: to (receive) and from containers.",
          unit: "s",
          queries: [0.5, 0.9].map((share) => ({
            expr: `histogram_quantile(${share}, sum by (le, network, direction) (rate(fairway_network_handshake_duration_seconds_bucket{instance=~"$instance",network=~"$network"}[$__rate_interval])))`,
            legend: `{{network}} {{direction}} ${share * 100} %`,
          })),
        }),
        lines({
          title: "Opened",
          description:
            "Connections a second that others open to containers (receive) and that containers open.",
          unit: "cps",
          queries: [
            {
              expr: `sum by (network, direction, proto) (${rate("fairway_endpoint_connections_opened_total", s)})`,
              legend: "{{network}} {{direction}} {{proto}}",
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
          description: "Packets a second; the ten most frequent reasons.",
          unit: "pps",
          queries: [
            {
              expr: orNothing(
                `topk(10, sum by (network, reason) (${rate("fairway_slow_path_packets_total", s)}))`,
                "reason",
                "none",
              ),
              legend: "{{network}} {{reason}}",
            },
          ],
        }),
        lines({
          title: "Dropped, by reason",
          description: "Packets a second that were dropped on their way from or to these networks.",
          unit: "pps",
          queries: [
            {
              expr: orNothing(
                `sum by (network, reason) (${rate("fairway_endpoint_dropped_packets_total", s)})`,
                "reason",
                "none",
              ),
              legend: "{{network}} {{reason}}",
            },
          ],
        }),
        rows({
          title: "Endpoints",
          description:
            "Every endpoint with its addresses and devices, to find the container that an address belongs to.",
          unit: "none",
          queries: [{ expr: `fairway_endpoint_info${s}` }],
          hidden: ["Value", "container_id", "endpoint_id"],
        }),
      ],
    },
  ],
};
