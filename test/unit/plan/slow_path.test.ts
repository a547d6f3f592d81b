import { describe, expect, it } from "vitest";
import type { EngineContainer, EngineNetwork, EngineState } from "../../../src/docker/model.js";
import { asIfItWroteRules, planSlowPath } from "../../../src/plan/slow_path.js";

const network = (name: string, change: Partial<EngineNetwork> = {}): EngineNetwork => ({
  id: name,
  name,
  driver: "bridge",
  internal: false,
  bridgeName: `br-${name}`,
  subnets4: [{ cidr: "172.18.0.0/16" }],
  subnets6: [],
  ipv6: false,
  icc: true,
  masquerade: true,
  labels: {},
  ...change,
});

const container = (name: string, change: Partial<EngineContainer> = {}): EngineContainer => ({
  id: name,
  name,
  labels: {},
  running: true,
  paused: false,
  networkMode: "front",
  sandboxKey: `/run/${name}`,
  endpoints: [
    {
      networkId: "front",
      networkName: "front",
      endpointId: `endpoint of ${name}`,
      address4: "172.18.0.2",
      gateway4: "172.18.0.1",
      gatewayPriority: 0,
    },
  ],
  ports: [{ proto: "tcp", hostIp: "0.0.0.0", hostPort: 8080, containerPort: 80 }],
  ...change,
});

const engine = (change: Partial<EngineState> = {}): EngineState => ({
  version: "29",
  apiVersion: "1.52",
  networks: [network("front")],
  containers: [container("web")],
  unsure: [],
  warnings: [],
  ...change,
});

const ports = (state: EngineState) =>
  planSlowPath(state).ports.map(
    (p) => `${p.address}:${p.port}/${p.proto} ${p.containerAddress}:${p.containerPort}`,
  );

describe("planSlowPath", () => {
  it("has every bridge network, with containers or without, and no other driver's", () => {
    const networks = [
      network("shut", { internal: true, icc: false }),
      network("front"),
      network("lan", { driver: "macvlan" }),
    ];
    expect(planSlowPath(engine({ networks })).networks.map((n) => [n.bridge, n.internal, n.icc])).toEqual([
      ["br-front", false, true],
      ["br-shut", true, false],
    ]);
  });

  it("masquerades what the engine would: not internal, not switched off, not routed", () => {
    const of = (change: Partial<EngineNetwork>) =>
      planSlowPath(engine({ networks: [network("n", change)] })).networks[0]?.ip[4];
    expect(of({})).toMatchObject({ masquerade: true, gatewayMode: "nat" });
    expect(of({ hostIpv4: "198.18.2.9" })).toMatchObject({ masquerade: true, snatAddress: "198.18.2.9" });
    for (const change of [{ internal: true }, { masquerade: false }, { gatewayModeIpv4: "routed" }])
      expect(of(change)).toMatchObject({ masquerade: false });
    expect(of({ gatewayModeIpv4: "nat-unprotected" })).toMatchObject({ gatewayMode: "nat-unprotected" });
    expect(of({ gatewayModeIpv4: "of tomorrow" })).toMatchObject({
      gatewayMode: "isolated",
      masquerade: false,
    });
  });

  it("leads published ports to the container's gateway endpoint, of the same family only", () => {
    const both = [
      { proto: "tcp" as const, hostIp: "0.0.0.0", hostPort: 8080, containerPort: 80 },
      { proto: "tcp" as const, hostIp: "::", hostPort: 8080, containerPort: 80 },
      { proto: "sctp" as const, hostIp: "198.18.2.2", hostPort: 9, containerPort: 9 },
    ];
    expect(ports(engine({ containers: [container("web", { ports: both })] }))).toEqual([
      "198.18.2.2:9/sctp 172.18.0.2:9",
      "0.0.0.0:8080/tcp 172.18.0.2:80",
    ]);
  });

  it("has no ports of containers that don't run, nor on networks that don't translate", () => {
    expect(ports(engine({ containers: [container("web", { running: false })] }))).toEqual([]);
    expect(ports(engine({ networks: [network("front", { internal: true })] }))).toEqual([]);
    expect(ports(engine({ networks: [network("front", { gatewayModeIpv4: "routed" })] }))).toEqual([]);
  });

  it("keeps the ports of endpoints that the engine could not tell more of, and no others", () => {
    const before = planSlowPath(engine());
    const gone = engine({ containers: [] });
    expect(planSlowPath({ ...gone, unsure: ["endpoint of web"] }, [], before).ports).toEqual(before.ports);
    expect(planSlowPath({ ...gone, unsure: ["endpoint of another"] }, [], before).ports).toEqual([]);
    expect(planSlowPath(gone, [], before).ports).toEqual([]);
  });

  const routed = () => {
    const networks = [network("front", { gatewayModeIpv4: "routed", gatewayModeIpv6: "nat" })];
    const routedPorts = [
      { proto: "tcp" as const, family: 4 as const, containerPort: 80 },
      { proto: "udp" as const, family: 6 as const, containerPort: 53 },
    ];
    return engine({ networks, containers: [container("web", { routedPorts })] });
  };

  it("opens what is published without a host port where the gateway routes, in that family only", () => {
    const opened = (state: EngineState) =>
      planSlowPath(state).routedPorts.map((p) => `${p.address} ${p.proto} ${p.port}`);
    expect(opened(routed())).toEqual(["172.18.0.2 tcp 80"]);
    expect(opened({ ...routed(), networks: [network("front")] })).toEqual([]);
    expect(opened({ ...routed(), containers: [container("web", { running: false })] })).toEqual([]);
  });

  it("keeps opened ports of endpoints that the engine could not tell more of", () => {
    const before = planSlowPath(routed());
    const gone = { ...routed(), containers: [] };
    expect(planSlowPath({ ...gone, unsure: ["endpoint of web"] }, [], before).routedPorts).toEqual(
      before.routedPorts,
    );
    expect(planSlowPath(gone, [], before).routedPorts).toEqual([]);
  });

  it("masquerades the default bridge, which an engine without rules denies", () => {
    const networks = [
      network("bridge", { defaultBridge: true, masquerade: false }),
      network("front", { masquerade: false }),
    ];
    const { networks: planned } = planSlowPath(asIfItWroteRules(engine({ networks })));
    expect(planned.map((n) => [n.bridge, n.ip[4]?.masquerade])).toEqual([
      ["br-bridge", true],
      ["br-front", false],
    ]);
  });
});
