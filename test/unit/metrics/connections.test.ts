import { describe, expect, it } from "vitest";
import type { ConnectionReading, DirectionConnections } from "../../../src/datapath/reader.js";
import { createMetrics } from "../../../src/metrics/metrics.js";
import { FakeSource, textOf } from "./source.js";

const nothing: DirectionConnections = {
  opened: { tcp: 0, udp: 0 },
  established: 0,
  syn: 0,
  rst: 0,
  open: { tcp: 0, udp: 0 },
  halfOpen: 0,
};

function reading(change: Partial<ConnectionReading> = {}): ConnectionReading {
  return {
    endpoint: { containerId: "c".repeat(64), container: "web", network: "bridge" },
    receive: nothing,
    transmit: nothing,
    snat: { allocated: 0, retried: 0, failed: 0 },
    ...change,
  };
}

/** The samples that the connections of one endpoint make, without the labels that all have. */
async function samples(
  connections: ConnectionReading[],
  handshakes: FakeSource["handshakes"] = [],
): Promise<string[]> {
  const source = new FakeSource();
  source.connections = connections;
  source.handshakes = handshakes;
  const metrics = createMetrics({ source, version: "0.1.0", kernel: "6.1.0" });
  const text = await textOf(metrics);
  return text
    .split("\n")
    .filter((line) => /^fairway_(endpoint_(conn|hand|tcp|snat)|network_handshake)/.test(line))
    .map((line) => line.replace('container="web",project="",network="bridge"', "").replace("{,", "{"));
}

describe("connections", () => {
  it("has no series of an endpoint that has had none", async () => {
    expect(await samples([reading()])).toEqual([]);
  });

  it("has those of the direction and the protocol that there are", async () => {
    const receive = {
      opened: { tcp: 7, udp: 0 },
      established: 5,
      syn: 9,
      rst: 1,
      open: { tcp: 3, udp: 0 },
      halfOpen: 2,
    };
    expect(await samples([reading({ receive })])).toEqual([
      'fairway_endpoint_connections_opened_total{direction="receive",proto="tcp"} 7',
      'fairway_endpoint_connections_open{direction="receive",proto="tcp"} 3',
      'fairway_endpoint_connections_half_open{direction="receive"} 2',
      'fairway_endpoint_handshakes_total{direction="receive"} 5',
      'fairway_endpoint_tcp_syn_packets_total{direction="receive"} 9',
      'fairway_endpoint_tcp_rst_packets_total{direction="receive"} 1',
    ]);
  });

  it("does not say what is open before a sweep has counted it", async () => {
    const transmit = { ...nothing, opened: { tcp: 0, udp: 4 }, open: undefined, halfOpen: undefined };
    expect(await samples([reading({ transmit })])).toEqual([
      'fairway_endpoint_connections_opened_total{direction="transmit",proto="udp"} 4',
    ]);
  });

  it("counts source ports, and those that could not be had", async () => {
    expect(await samples([reading({ snat: { allocated: 8, retried: 3, failed: 1 } })])).toEqual([
      "fairway_endpoint_snat_allocations_total{} 8",
      "fairway_endpoint_snat_retries_total{} 3",
      "fairway_endpoint_snat_failures_total{} 1",
    ]);
  });

  it("has a histogram of handshakes for each network and direction", async () => {
    const taken = { network: "shop", direction: "transmit", bounds: [0.001, 0.1], counts: [1, 2, 3], sum: 9 };
    expect(await samples([], [taken as FakeSource["handshakes"][number]])).toEqual([
      'fairway_network_handshake_duration_seconds_bucket{network="shop",direction="transmit",le="0.001"} 1',
      'fairway_network_handshake_duration_seconds_bucket{network="shop",direction="transmit",le="0.1"} 3',
      'fairway_network_handshake_duration_seconds_bucket{network="shop",direction="transmit",le="+Inf"} 6',
      'fairway_network_handshake_duration_seconds_sum{network="shop",direction="transmit"} 9',
      'fairway_network_handshake_duration_seconds_count{network="shop",direction="transmit"} 6',
    ]);
  });

  it("has of published ports what they have had, and nothing else", async () => {
    const source = new FakeSource();
    const port = {
      proto: "tcp",
      address: "::",
      port: 8080,
      published: "[::]:8080",
      containerId: "c".repeat(64),
      container: "web",
      network: "bridge",
      containerAddress: "fd00::2",
      containerPort: 80,
    } as const;
    const other = { ...port, port: 8081, published: "[::]:8081" };
    const none = { packets: 0, bytes: 0 };
    source.portCounts = [
      {
        port,
        receive: { packets: 3, bytes: 400 },
        transmit: { packets: 5, bytes: 600 },
        opened: 5,
        refused: 2,
      },
      { port: other, receive: { packets: 1, bytes: 60 }, transmit: none, opened: 0, refused: 0 },
    ];
    const text = await textOf(createMetrics({ source, version: "0.1.0", kernel: "6.1.0" }));
    const of = (published: string) =>
      `container="web",project="",network="bridge",proto="tcp",published="${published}"`;
    const lines = text.split("\n").filter((line) => /^fairway_published_port_\w+_total/.test(line));
    expect(lines).toEqual([
      `fairway_published_port_receive_packets_total{${of("[::]:8080")}} 3`,
      `fairway_published_port_receive_packets_total{${of("[::]:8081")}} 1`,
      `fairway_published_port_receive_bytes_total{${of("[::]:8080")}} 400`,
      `fairway_published_port_receive_bytes_total{${of("[::]:8081")}} 60`,
      `fairway_published_port_transmit_packets_total{${of("[::]:8080")}} 5`,
      `fairway_published_port_transmit_bytes_total{${of("[::]:8080")}} 600`,
      `fairway_published_port_connections_total{${of("[::]:8080")}} 5`,
      `fairway_published_port_refused_packets_total{${of("[::]:8080")}} 2`,
    ]);
  });
});
