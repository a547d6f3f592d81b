import { describe, expect, it } from "vitest";
import type { EngineContainer, EngineState } from "../../../src/docker/model.js";
import { normaliseContainer, normaliseNetwork } from "../../../src/docker/normalise.js";
import { containerSchema, networkSchema } from "../../../src/docker/schema.js";
import { engineState, fixture, fixtureNames, ipv6FixtureNames, nameOf } from "./fixtures.js";

function container(state: EngineState, name: string): EngineContainer {
  const found = state.containers.find((c) => c.name === name);
  if (found === undefined) throw new Error(`no container ${name}`);
  return found;
}

describe.each(fixtureNames)("%s", (name) => {
  it("reads every network and container without a warning", async () => {
    const state = await engineState(name);
    expect(state.warnings).toEqual([]);
    expect(state.unsure).toEqual([]);
    // "sidecar" shares another's network namespace and has no endpoint of its own.
    const expected = ["db", "hosty", "inside", "loner", "still", "web"];
    if (name !== "api-1.41-engine-20.10") expected.splice(4, 0, "routed");
    expect(state.containers.map((c) => c.name).sort()).toEqual(expected);
    expect(state.networks.map((n) => n.name)).toEqual(
      expect.arrayContaining(["app", "bridge", "inner", "none", "quiet"]),
    );
  });

  it("reads a network's options", async () => {
    const { networks } = await engineState(name);
    const byName = new Map(networks.map((n) => [n.name, n]));
    expect(byName.get("bridge")).toMatchObject({
      driver: "bridge",
      bridgeName: "docker0",
      icc: true,
      masquerade: true,
      internal: false,
      mtu: 1500,
      subnets4: [{ cidr: "172.17.0.0/16" }],
    });
    const app = byName.get("app");
    expect(app?.bridgeName).toBe(`br-${app?.id.slice(0, 12)}`);
    expect(app).toMatchObject({ icc: true, masquerade: true, labels: { "fairway.test": "1" } });
    expect(byName.get("inner")).toMatchObject({ internal: true });
    expect(byName.get("quiet")).toMatchObject({
      bridgeName: "brquiet",
      icc: false,
      masquerade: false,
      mtu: 1400,
      hostIpv4: expect.stringMatching(/^198\.18\./),
    });
    expect(byName.get("host")?.bridgeName).toBeUndefined();
    if (byName.has("routed")) expect(byName.get("routed")).toMatchObject({ gatewayModeIpv4: "routed" });
  });

  it("reads what is published, not what is merely exposed", async () => {
    const state = await engineState(name);
    expect(container(state, "web").ports).toEqual([
      { proto: "tcp", hostIp: "0.0.0.0", hostPort: 8080, containerPort: 80 },
      { proto: "tcp", hostIp: "::", hostPort: 8080, containerPort: 80 },
      { proto: "tcp", hostIp: "127.0.0.1", hostPort: 8081, containerPort: 81 },
      { proto: "udp", hostIp: expect.stringMatching(/^198\.18\./), hostPort: 8082, containerPort: 82 },
    ]);
  });

  it("reads a container's endpoints, one per network", async () => {
    const state = await engineState(name);
    const db = container(state, "db");
    const networks = db.endpoints.map((e) => e.networkName).sort();
    expect(networks.slice(0, 1)).toEqual(["app"]);
    expect(networks.slice(-2)).toEqual(["inner", "quiet"]);
    for (const endpoint of db.endpoints) {
      expect(endpoint.endpointId).toMatch(/^[0-9a-f]{64}$/);
      expect(endpoint.address4).toMatch(/^(172|10)\./);
      expect(endpoint.mac).toMatch(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
      // Of an internal network 20.10 names the bridge's address all the same.
      if (endpoint.networkName !== "inner") expect(endpoint.gateway4).toMatch(/\.0\.1$/);
      else if (name !== "api-1.41-engine-20.10") expect(endpoint.gateway4).toBeUndefined();
    }
    expect(db.sandboxKey).toMatch(/^\/var\/run\/docker\/netns\//);
    expect(container(state, "still")).toMatchObject({ running: true, paused: true });
    const data = fixture(name);
    const sidecar = data.containers.find(({ Id }) => nameOf(data, Id) === "sidecar")?.Id ?? "";
    expect(normaliseContainer(containerSchema.parse(data.inspect[sidecar])).endpoints).toEqual([]);
    expect(container(state, "hosty").endpoints[0]?.address4).toBeUndefined();
  });
});

describe.each(ipv6FixtureNames)("%s", (name) => {
  it("reads networks of IPv6", async () => {
    const { networks } = await engineState(name);
    const byName = new Map(networks.map((n) => [n.name, n]));
    expect(byName.get("six")).toMatchObject({ ipv6: true, masquerade: true });
    expect(byName.get("four")).toMatchObject({ ipv6: false });
    if (name === "ipv6-engine-20.10") return;
    expect(byName.get("only6")).toMatchObject({ ipv6: true, subnets4: [], hostIpv6: "2001:db8:2::9" });
    expect(byName.get("routed")).toMatchObject({ gatewayModeIpv6: "routed" });
    expect(byName.get("routed")?.gatewayModeIpv4).toBeUndefined();
  });

  it("reads endpoints of both families", async () => {
    const state = await engineState(name);
    const [six] = container(state, "six").endpoints;
    expect(six).toMatchObject({ address6: "2001:db8:18::2", prefix6: 64, gateway6: "2001:db8:18::1" });
    expect(six?.address4).toMatch(/^172\./);
    const four = container(state, "four").endpoints.find((e) => e.networkName === "four");
    expect([four?.address6, four?.gateway6, four?.prefix6]).toEqual([undefined, undefined, undefined]);
    if (name === "ipv6-engine-20.10") return;
    const [only6] = container(state, "only6").endpoints;
    expect([only6?.address4, only6?.gateway4, only6?.address6]).toEqual([
      undefined,
      undefined,
      "2001:db8:22::2",
    ]);
  });

  it("reads what is published on addresses of both families", async () => {
    const { ports } = container(await engineState(name), "web");
    expect(ports.map((p) => `${p.proto} ${p.hostIp} ${p.hostPort}>${p.containerPort}`)).toEqual([
      "tcp 0.0.0.0 8080>80",
      "tcp :: 8080>80",
      "tcp 127.0.0.1 8081>81",
      "tcp ::1 8082>82",
      "tcp 2001:db8:2::2 8083>83",
      "udp 0.0.0.0 8084>84",
      "udp :: 8084>84",
    ]);
  });
});

describe("hostile answers", () => {
  const id = "ab".repeat(32);
  const base = { Id: id, Name: "/x", State: { Running: true } };

  it("leaves out ports and addresses that are none", () => {
    const raw = containerSchema.parse({
      ...base,
      NetworkSettings: {
        Ports: {
          "80/tcp": [
            { HostIp: "", HostPort: "8080" },
            { HostPort: "0" },
            { HostPort: "99999" },
            { HostPort: "1e3" },
            {},
          ],
          "99999/tcp": [{ HostPort: "1" }],
          "80/http": [{ HostPort: "2" }],
          nonsense: [{ HostPort: "3" }],
        },
        Networks: {
          a: { EndpointID: "../../etc", IPAddress: "300.1.1.1", MacAddress: "zz" },
          b: null,
        },
      },
    });
    const container = normaliseContainer(raw);
    expect(container.ports).toEqual([
      { proto: "tcp", hostIp: "0.0.0.0", hostPort: 8080, containerPort: 80 },
      { proto: "tcp", hostIp: "::", hostPort: 8080, containerPort: 80 },
    ]);
    expect(container.endpoints).toEqual([
      { networkId: "", networkName: "a", endpointId: "", gatewayPriority: 0 },
    ]);
  });

  it("refuses wrong types and endless text", () => {
    expect(containerSchema.safeParse({ ...base, Id: "../x" }).success).toBe(false);
    expect(containerSchema.safeParse({ ...base, Name: "x".repeat(5000) }).success).toBe(false);
    expect(containerSchema.safeParse({ ...base, State: null }).success).toBe(false);
    expect(containerSchema.safeParse({ ...base, NetworkSettings: { Networks: [] } }).success).toBe(false);
    expect(networkSchema.safeParse({ Id: "x" }).success).toBe(false);
  });

  it("takes null for what Go leaves empty", () => {
    const raw = networkSchema.parse({
      Id: id,
      Name: "n",
      Driver: "bridge",
      IPAM: null,
      Options: null,
      Labels: null,
    });
    expect(normaliseNetwork(raw)).toMatchObject({ subnets4: [], icc: true, masquerade: true, labels: {} });
  });

  it("reads booleans as the engine does", () => {
    const icc = (value: string) =>
      normaliseNetwork(
        networkSchema.parse({
          Id: id,
          Name: "n",
          Driver: "bridge",
          Options: { "com.docker.network.bridge.enable_icc": value },
        }),
      ).icc;
    expect([icc("0"), icc("F"), icc("False"), icc("1"), icc("True"), icc("yes")]).toEqual([
      false,
      false,
      false,
      true,
      true,
      true,
    ]);
  });
});
