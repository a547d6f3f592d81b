import { describe, expect, it } from "vitest";
import { createMetrics } from "../../../src/metrics/metrics.js";
import { container, endpoint, FakeSource, status, textOf } from "./source.js";

function setUp(options: Partial<Parameters<typeof createMetrics>[0]> = {}) {
  const source = new FakeSource();
  const metrics = createMetrics({ source, version: "0.1.0", kernel: "6.1.0", ...options });
  return {
    source,
    metrics,
    scrape: () => textOf(metrics),
  };
}

/** The samples (no comments) whose name starts so. */
function samples(text: string, name: string): string[] {
  return text.split("\n").filter((line) => line.startsWith(name));
}

describe("metrics", () => {
  it("has the names of the metrics contract, with their labels", async () => {
    const { source, metrics, scrape } = setUp();
    source.endpoints = [
      endpoint({
        receive: { fast: { packets: 10, bytes: 1000 }, slow: { packets: 1, bytes: 100 } },
        transmit: { fast: { packets: 20, bytes: 2000 }, slow: { packets: 2, bytes: 200 } },
      }),
    ];
    source.reasons = [
      {
        containerId: "c".repeat(64),
        container: "web",
        network: "bridge",
        direction: "receive",
        verdict: "slow",
        reason: "fragment",
        packets: 7,
        bytes: 1,
      },
      {
        containerId: "c".repeat(64),
        container: "web",
        network: "bridge",
        direction: "transmit",
        verdict: "drop",
        reason: "rewrite_failed",
        packets: 8,
        bytes: 1,
      },
      {
        containerId: undefined,
        container: undefined,
        network: undefined,
        direction: "receive",
        verdict: "slow",
        reason: "to_host",
        packets: 9,
        bytes: 1,
      },
    ];
    metrics.observer.reconciled({
      ok: true,
      durationMs: 30,
      engineMs: 10,
      hostMs: 10,
      applyMs: 10,
      trigger: "start",
      added: 1,
      removed: 0,
    });
    const text = await scrape();
    for (const line of [
      'fairway_endpoint_receive_packets_total{container="web",project="",network="bridge",path="fast"} 10',
      'fairway_endpoint_receive_bytes_total{container="web",project="",network="bridge",path="fast"} 1000',
      'fairway_endpoint_receive_packets_total{container="web",project="",network="bridge",path="slow"} 1',
      'fairway_endpoint_transmit_packets_total{container="web",project="",network="bridge",path="fast"} 20',
      'fairway_endpoint_transmit_bytes_total{container="web",project="",network="bridge",path="slow"} 200',
      'fairway_endpoint_dropped_packets_total{container="web",project="",network="bridge",direction="transmit",reason="rewrite_failed"} 8',
      'fairway_slow_path_packets_total{container="web",project="",network="bridge",direction="receive",reason="fragment"} 7',
      'fairway_slow_path_packets_total{container="",project="",network="",direction="receive",reason="to_host"} 9',
      "fairway_flows 3",
      "fairway_flows_max 1024",
      "fairway_flow_table_inserted_total 9",
      "fairway_flow_table_evicted_total 2",
      'fairway_map_entries{map="ports_ipv4"} 3',
      'fairway_map_max_entries{map="ports_ipv4"} 1024',
      "fairway_docker_connected 1",
      "fairway_docker_disconnects_total 2",
      "fairway_reconcile_last_success_timestamp_seconds 1700000000.5",
      'fairway_reconcile_duration_seconds_bucket{le="0.05"} 1',
      "fairway_reconcile_duration_seconds_count 1",
      'fairway_build_info{version="0.1.0",kernel="6.1.0",mode="accelerate"} 1',
      "fairway_firewall_ignored 0",
    ]) {
      expect(text.split("\n")).toContain(line);
    }
    expect(samples(text, "fairway_collector_success").every((line) => line.endsWith(" 1"))).toBe(true);
    expect(samples(text, "fairway_collector_success").length).toBeGreaterThanOrEqual(8);
  });

  it("has what XDP did at the uplinks where it is attached, and nothing of others", async () => {
    const { source, scrape } = setUp();
    source.xdp = [{ device: "eth0", passed: 5, dropped: 7 }];
    expect(samples(await scrape(), "fairway_uplink_xdp")).toEqual([
      'fairway_uplink_xdp_packets_total{device="eth0",verdict="pass"} 5',
      'fairway_uplink_xdp_packets_total{device="eth0",verdict="drop"} 7',
    ]);
    source.xdp = [];
    expect(samples(await scrape(), "fairway_uplink_xdp")).toEqual([]);
  });

  it("has what containers send each other, and what of it was in no pair", async () => {
    const { source, scrape } = setUp();
    source.pairs = [{ network: "shop", from: "web", to: "db", packets: 5, bytes: 700 }];
    source.pairsUncounted = 3;
    expect(samples(await scrape(), "fairway_network_pair")).toEqual([
      'fairway_network_pair_packets_total{network="shop",from="web",to="db"} 5',
      'fairway_network_pair_bytes_total{network="shop",from="web",to="db"} 700',
      "fairway_network_pair_uncounted_packets_total 3",
    ]);
    source.pairs = [];
    expect(samples(await scrape(), "fairway_network_pair")).toEqual([
      "fairway_network_pair_uncounted_packets_total 3",
    ]);
  });

  it("tells when rules of the user's don't count", async () => {
    const { source, scrape } = setUp();
    source.current = status({ trustFirewall: "ignore" });
    expect((await scrape()).split("\n")).toContain("fairway_firewall_ignored 1");
  });

  it("shows a counter as the datapath has it, not the sum of scrapes", async () => {
    const { source, scrape } = setUp();
    const fast = (packets: number) => ({ fast: { packets, bytes: 0 }, slow: { packets: 0, bytes: 0 } });
    source.endpoints = [endpoint({ receive: fast(5) })];
    await scrape();
    source.endpoints = [endpoint({ receive: fast(6) })];
    const text = await scrape();
    expect(text).toContain(
      'receive_packets_total{container="web",project="",network="bridge",path="fast"} 6\n',
    );
    expect(samples(text, "fairway_docker_disconnects_total")).toEqual(["fairway_docker_disconnects_total 2"]);
  });

  it("takes one scrape after the other", async () => {
    const { source, metrics } = setUp();
    const fast = (packets: number) => ({ fast: { packets, bytes: 0 }, slow: { packets: 0, bytes: 0 } });
    const pieces: [Buffer[], Buffer[]] = [[], []];
    source.endpoints = [endpoint({ receive: fast(1) })];
    const first = metrics.scrape((piece) => void pieces[0].push(Buffer.from(piece)));
    const second = first.then(() => {
      source.endpoints = [endpoint({ receive: fast(2) })];
    });
    await Promise.all([second, metrics.scrape((piece) => void pieces[1].push(Buffer.from(piece)))]);
    const line = 'receive_packets_total{container="web",project="",network="bridge",path="fast"} ';
    expect(Buffer.concat(pieces[0]).toString()).toContain(`${line}1\n`);
    expect(Buffer.concat(pieces[1]).toString()).toContain(`${line}2\n`);
  });

  it("keeps to one series each while containers come, go and take each other's names", async () => {
    const { source, scrape } = setUp();
    const of = (...names: string[]) =>
      names.map((container, slot) => endpoint({ slot, container, endpointId: `${slot}` }));
    for (const names of [
      ["a", "b", "c"],
      ["a", "c"],
      ["c", "a", "d"],
      [],
      ["d"],
      ["d", "d", "a"],
      ["a", "d"],
    ]) {
      source.endpoints = of(...names);
      const series = samples(await scrape(), "fairway_endpoint_masqueraded");
      const told = series.map((one) => [/container="(\w)"/.exec(one)?.[1], one.split(" ").at(-1)]);
      const times = (name: string) => names.filter((one) => one === name).length;
      expect(told).toEqual([...new Set(names)].map((name) => [name, `${times(name)}`]));
    }
  });

  it("forgets a removed container at the next scrape", async () => {
    const { source, scrape } = setUp();
    source.endpoints = [endpoint({ container: "gone" })];
    expect(await scrape()).toContain('container="gone"');
    source.endpoints = [];
    expect(await scrape()).not.toContain('container="gone"');
  });

  it("adds up two endpoints of one name rather than writing a series twice", async () => {
    const { source, scrape } = setUp();
    const receive = { fast: { packets: 2, bytes: 0 }, slow: { packets: 0, bytes: 0 } };
    source.endpoints = [endpoint({ receive }), endpoint({ slot: 1, receive })];
    const series = samples(await scrape(), "fairway_endpoint_receive_packets_total");
    expect(series.filter((line) => line.includes('"fast"'))).toEqual([
      'fairway_endpoint_receive_packets_total{container="web",project="",network="bridge",path="fast"} 4',
    ]);
  });

  it("escapes whatever a network is called", async () => {
    const { source, scrape } = setUp();
    source.endpoints = [endpoint({ network: 'a"} 1\nfake_metric{x="\\' })];
    const text = await scrape();
    expect(samples(text, "fake_metric")).toEqual([]);
    expect(text).toContain('network="a\\"} 1\\nfake_metric{x=\\"\\\\"');
  });

  it("survives a collector that fails, says which, and shows none of its old figures", async () => {
    const failed: string[] = [];
    const { source, scrape } = setUp({ onFailure: (collector) => failed.push(collector) });
    source.endpoints = [endpoint()];
    await scrape();
    const { reader } = source;
    if (reader === undefined) throw new Error("no reader");
    source.reader = {
      ...reader,
      endpointSteps: function* () {
        yield [endpoint()];
        throw new Error("EPERM");
      },
    };
    const text = await scrape();
    expect(failed).toEqual(["endpoints"]);
    expect(samples(text, 'fairway_collector_success{collector="endpoints"}')).toEqual([
      'fairway_collector_success{collector="endpoints"} 0',
    ]);
    expect(samples(text, 'fairway_collector_success{collector="maps"}')[0]).toMatch(/ 1$/);
    expect(samples(text, "fairway_endpoint_receive")).toEqual([]);
    expect(samples(text, "fairway_flows ")).toEqual(["fairway_flows 3"]);
  });

  it("claims nothing before the programs are loaded and the engine has answered", async () => {
    const { source, scrape } = setUp();
    source.reader = undefined;
    source.current = status({
      state: "starting",
      engine: { ...status().engine, connected: false, version: undefined, disconnects: 0 },
      reconcile: { count: 0, failures: 0, lastSuccessAt: 0, last: undefined },
    });
    const text = await scrape();
    expect(samples(text, "fairway_flows")).toEqual([]);
    expect(samples(text, "fairway_reconcile_last_success")).toEqual([]);
    expect(samples(text, "fairway_docker_connected")).toEqual(["fairway_docker_connected 0"]);
    source.reader = new FakeSource().reader;
    source.flowsCountedAt = 0;
  });

  it("counts the host's sockets by published port, and those that were left with the reason", async () => {
    const { source, scrape } = setUp();
    const port = {
      proto: "tcp",
      address: "::",
      port: 8080,
      published: "[::]:8080",
      containerAddress: "172.17.0.2",
      containerPort: 80,
    } as const;
    source.hostPorts = [
      {
        ...port,
        containerId: "c".repeat(64),
        container: "web",
        network: "bridge",
        led: 3,
        left: { bound: 2 },
      },
    ];
    const labels = 'container="web",project="",network="bridge",proto="tcp",published="[::]:8080"';
    expect(samples(await scrape(), "fairway_host_sockets_total")).toEqual([
      `fairway_host_sockets_total{${labels},path="fast",reason=""} 3`,
      `fairway_host_sockets_total{${labels},path="slow",reason="bound"} 2`,
    ]);
  });

  it("does not let an engine's event types grow the label", async () => {
    const { metrics, scrape } = setUp();
    for (let i = 0; i < 100; i++) metrics.observer.engineEvent(`type-${i}`, "x");
    metrics.observer.engineEvent("container", "start");
    const series = samples(await scrape(), "fairway_docker_events_total");
    expect(series.sort()).toEqual([
      'fairway_docker_events_total{type="container"} 1',
      'fairway_docker_events_total{type="daemon"} 0',
      'fairway_docker_events_total{type="network"} 0',
      'fairway_docker_events_total{type="other"} 100',
    ]);
  });

  it("has a container's compose project and service, and of its other labels those that were asked for", async () => {
    const { source, scrape } = setUp({ labels: ["team", "com.example.tier"] });
    const labels = {
      team: "shop",
      "com.example.tier": "front",
      secret: "hush",
      "com.docker.compose.project": "stack",
      "com.docker.compose.service": "web",
    };
    if (source.engineState !== undefined) source.engineState.containers = [container({ labels })];
    source.endpoints = [endpoint()];
    const text = await scrape();
    expect(samples(text, "fairway_container_info")).toEqual([
      `fairway_container_info{container="web",project="stack",service="web",container_id="${"c".repeat(64)}",label_team="shop",label_com_example_tier="front"} 1`,
    ]);
    expect(text).toContain(
      'receive_packets_total{container="web",project="stack",network="bridge",path="fast"} 0\n',
    );
    expect(text).not.toContain("hush");
  });

  it("names the driver and its mode, and the parent, of endpoints on ipvlan and macvlan", async () => {
    const { source, scrape } = setUp();
    const [bridge] = source.engineState?.networks ?? [];
    if (bridge === undefined || source.engineState === undefined) throw new Error("no network");
    const { bridgeName: _, ...more } = bridge;
    source.engineState.networks = [{ ...more, name: "lan", driver: "macvlan", parent: "eth1", mode: "vepa" }];
    source.endpoints = [endpoint({ network: "lan", device: "eth1", bridge: "eth1" })];
    const text = await scrape();
    expect(samples(text, "fairway_network_info")[0]).toContain(
      'network="lan",driver="macvlan",driver_mode="vepa",bridge="eth1"',
    );
    expect(samples(text, "fairway_endpoint_info")[0]).toContain(
      'network="lan",driver="macvlan",driver_mode="vepa",',
    );
  });

  it("has cAdvisor's names only where they are wanted, with both paths and the drops in them", async () => {
    expect(await setUp().scrape()).not.toContain("container_network");
    const { source, scrape } = setUp({ cadvisor: true });
    const counted = { packets: 2, bytes: 100 };
    source.endpoints = [endpoint({ receive: { fast: counted, slow: counted } })];
    source.reasons = [
      {
        containerId: "c".repeat(64),
        container: "web",
        network: "bridge",
        direction: "receive",
        verdict: "drop",
        reason: "limited",
        packets: 5,
        bytes: 1,
      },
    ];
    const text = await scrape();
    const labels = `{id="/docker/${"c".repeat(64)}",name="web",interface="bridge"}`;
    for (const [name, value] of Object.entries({
      receive_packets: 4,
      receive_bytes: 200,
      transmit_packets: 0,
      receive_packets_dropped: 5,
      transmit_packets_dropped: 0,
    }))
      expect(text.split("\n")).toContain(`container_network_${name}_total${labels} ${value}`);
  });

  it("says how long programs run only where the kernel counts it", async () => {
    const { source, scrape } = setUp();
    source.programs = [
      { program: "uplink_ingress", runs: 1000, runTimeNs: 250_000 },
      { program: "flow_sweep", runs: 0, runTimeNs: 0 },
    ];
    const text = await scrape();
    expect(samples(text, "fairway_program_run")).toEqual([
      'fairway_program_runs_total{program="uplink_ingress"} 1000',
      'fairway_program_run_seconds_total{program="uplink_ingress"} 0.00025',
    ]);
    expect(samples(text, "fairway_program_detached_total").sort()).toEqual([
      'fairway_program_detached_total{program="endpoint_ingress"} 1',
      'fairway_program_detached_total{program="flow_sweep"} 0',
      'fairway_program_detached_total{program="uplink_ingress"} 0',
    ]);
  });

  it("counts passes by what set them off, and where their time went", async () => {
    const { metrics, scrape } = setUp();
    const pass = { ok: true, durationMs: 30, engineMs: 10, hostMs: 15, applyMs: 5, added: 2, removed: 1 };
    metrics.observer.reconciled({ ...pass, trigger: "events,resync" });
    metrics.observer.reconciled({ ...pass, trigger: "something new", ok: false });
    const lines = (await scrape()).split("\n");
    for (const line of [
      'fairway_reconcile_triggers_total{trigger="events"} 1',
      'fairway_reconcile_triggers_total{trigger="resync"} 0',
      'fairway_reconcile_triggers_total{trigger="other"} 1',
      'fairway_reconcile_phase_seconds_total{phase="engine"} 0.02',
      'fairway_reconcile_changes_total{change="added"} 4',
      'fairway_reconciles_total{result="failure"} 1',
      "fairway_reconcile_duration_seconds_sum 0.06",
    ])
      expect(lines).toContain(line);
  });

  it("answers two scrapes at once, each with every figure once", async () => {
    const { source, scrape } = setUp();
    source.endpoints = Array.from({ length: 2000 }, (_, slot) => endpoint({ slot, container: `c${slot}` }));
    const [one, two] = await Promise.all([scrape(), scrape()]);
    expect(samples(one, "fairway_endpoint_receive_packets_total")).toHaveLength(4000);
    expect(samples(two, "fairway_endpoint_receive_packets_total")).toHaveLength(4000);
  });
});
