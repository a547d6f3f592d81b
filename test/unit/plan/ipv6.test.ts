/** What is planned of IPv6, from what real engines answered. */
import { describe, expect, it } from "vitest";
import type { EngineContainer, EngineState } from "../../../src/docker/model.js";
import { withPort } from "../../../src/ip.js";
import { plan } from "../../../src/plan/plan.js";
import type { Plan } from "../../../src/plan/types.js";
import { engineState, ipv6FixtureNames } from "../docker/fixtures.js";
import { hostFor } from "./host.js";

const auto = { uplinks: [] };

async function scene(name: (typeof ipv6FixtureNames)[number]) {
  const engine = await engineState(name);
  return { engine, host: hostFor(engine) };
}

function container(engine: EngineState, name: string): EngineContainer {
  const found = engine.containers.find((c) => c.name === name);
  if (found === undefined) throw new Error(`no container ${name}`);
  return found;
}

/** "web/bridge" of what a choice is true for. */
function those(
  result: Plan,
  choose: (ip: NonNullable<Plan["endpoints"][number]["ip"][6]>) => boolean,
): string[] {
  return result.endpoints
    .filter((e) => e.ip[6] !== undefined && choose(e.ip[6]))
    .map((e) => `${e.container}/${e.network}`)
    .sort();
}

/** The ports of IPv6, with where they lead. */
function ports6(result: Plan): string[] {
  const byId = new Map(result.endpoints.map((e) => [e.endpointId, e]));
  return result.ports
    .filter((p) => p.address.includes(":"))
    .map((p) => {
      const endpoint = byId.get(p.endpointId);
      expect(p.containerAddress).toBe(endpoint?.ip[6]?.address);
      return `${p.proto} ${withPort(p.address, p.port)} ${endpoint?.container}/${endpoint?.network}:${p.containerPort}`;
    });
}

const codes = (result: Plan) => result.warnings.map((w) => w.code);

describe.each(ipv6FixtureNames)("%s", (name) => {
  const is29 = name === "ipv6-engine-29";

  it("plans each endpoint's IPv6 address beside its IPv4 one, where it has it", async () => {
    const { engine, host } = await scene(name);
    const result = plan(engine, host, auto);
    expect(result.warnings).toEqual([]);
    const all = ["four/six", "inner/inner", "quiet/quiet", "six/six", "web/bridge"];
    expect(those(result, () => true)).toEqual(
      [...all, ...(is29 ? ["only6/only6", "routed/routed"] : [])].sort(),
    );
    const [web] = result.endpoints.filter((e) => e.container === "web");
    const [endpoint] = container(engine, "web").endpoints;
    expect(web?.ip).toEqual({
      4: expect.objectContaining({ address: endpoint?.address4, masquerade: true, gateway: true }),
      6: {
        address: endpoint?.address6,
        snatAddress: undefined,
        masquerade: true,
        filtered: false,
        gateway: true,
      },
    });
    expect(endpoint?.address6).toMatch(/^2001:db8:17::/);
    const [four] = result.endpoints.filter((e) => `${e.container}/${e.network}` === "four/four");
    expect([four?.ip[4]?.gateway, four?.ip[6]]).toEqual([false, undefined]);
    const [only6] = result.endpoints.filter((e) => e.container === "only6");
    expect(only6?.ip[4]).toBeUndefined();
  });

  it("masquerades at the gateway endpoint of networks that do, to the address that they name", async () => {
    const { engine, host } = await scene(name);
    const result = plan(engine, host, auto);
    const masqueraded = ["four/six", "six/six", "web/bridge"];
    expect(those(result, (ip) => ip.masquerade)).toEqual(
      [...masqueraded, ...(is29 ? ["only6/only6"] : [])].sort(),
    );
    const named = result.endpoints.find((e) => e.container === "only6")?.ip[6]?.snatAddress;
    expect(named).toBe(is29 ? "2001:db8:2::9" : undefined);
  });

  it("plans the ports that the engine translates: not loopback's, nor docker-proxy's, nor where it only routes", async () => {
    const { engine, host } = await scene(name);
    expect(ports6(plan(engine, host, auto))).toEqual([
      "tcp [::]:8080 web/bridge:80",
      "tcp [::]:8090 six/six:80",
      // Started on an IPv4 network, connected to one of both: that is the gateway.
      "tcp [::]:8091 four/six:80",
      "tcp [::]:8092 quiet/quiet:80",
      ...(is29 ? ["tcp [::]:8094 only6/only6:80"] : []),
      "tcp [2001:db8:2::2]:8083 web/bridge:83",
      "udp [::]:8084 web/bridge:84",
    ]);
  });

  it("leaves ports and masquerading to the kernel where the engine has no rules of IPv6", async () => {
    const { engine, host } = await scene(name);
    const both = plan(engine, host, auto);
    host.engineNat = { 4: true, 6: false };
    const result = plan(engine, host, auto);
    expect(ports6(result)).toEqual([]);
    expect(those(result, (ip) => ip.masquerade || ip.snatAddress !== undefined)).toEqual([]);
    expect(those(result, (ip) => ip.gateway)).toEqual(those(both, (ip) => ip.gateway));
    expect(result.ports).toEqual(both.ports.filter((p) => !p.address.includes(":")));
    expect(codes(result)).toEqual([]);
    // The same for IPv4: an engine that was told to leave iptables alone.
    host.engineNat = { 4: false, 6: true };
    const other = plan(engine, host, auto);
    expect(other.ports).toEqual(both.ports.filter((p) => p.address.includes(":")));
    expect(other.endpoints.filter((e) => e.ip[4]?.masquerade)).toEqual([]);
  });

  it("leaves [::] to docker-proxy where the container has IPv4 alone", async () => {
    const { engine, host } = await scene(name);
    const four = container(engine, "four");
    four.endpoints = four.endpoints.filter((e) => e.networkName === "four");
    const result = plan(engine, host, auto);
    expect(ports6(result).filter((line) => line.includes("8091"))).toEqual([]);
    const led = result.ports.filter((p) => p.port === 8091).map((p) => [p.address, p.containerAddress]);
    expect(led).toEqual([["0.0.0.0", four.endpoints[0]?.address4]]);
  });

  it("has nothing of a family that the host does not forward, and says so once", async () => {
    const { engine, host } = await scene(name);
    host.sysctls = { ...host.sysctls, forwarding: { 4: true, 6: false } };
    const result = plan(engine, host, auto);
    expect(those(result, () => true)).toEqual([]);
    expect(ports6(result)).toEqual([]);
    expect(result.warnings).toEqual([
      {
        code: "forwarding_off",
        message:
          "the host does not forward IPv6 (net.ipv6.conf.all.forwarding is 0): nothing of it is on the fast path",
        transient: false,
      },
    ]);
    host.sysctls = { ...host.sysctls, forwarding: { 4: false, 6: true } };
    const other = plan(engine, host, auto);
    expect(other.endpoints.filter((e) => e.ip[4] !== undefined)).toEqual([]);
    expect(ports6(other).length).toBeGreaterThan(5);
    expect(codes(other)).toEqual(["forwarding_off"]);
  });

  it("marks the endpoints of the family that a firewall's rules may concern, and names it", async () => {
    const { engine, host } = await scene(name);
    host.routingObstacle = { 4: undefined, 6: "filter: -A FORWARD -j MINE" };
    const result = plan(engine, host, auto);
    expect(those(result, (ip) => !ip.filtered)).toEqual([]);
    expect(result.endpoints.filter((e) => e.ip[4]?.filtered)).toEqual([]);
    expect(result.warnings).toMatchObject([
      {
        code: "connections_filtered",
        message: expect.stringContaining("new connections of IPv6 are decided"),
      },
    ]);
  });
});

it("does not warn of a family that no container has", async () => {
  const engine = await engineState("api-1.52-engine-29");
  const host = hostFor(engine);
  host.routingObstacle = { 4: undefined, 6: "filter: -A FORWARD -j MINE" };
  host.sysctls = { ...host.sysctls, forwarding: { 4: true, 6: false } };
  expect(plan(engine, host, auto).warnings).toEqual([]);
});

it("keeps the first of two endpoints that claim one IPv6 address", async () => {
  const { engine, host } = await scene("ipv6-engine-29");
  const stolen = container(engine, "web").endpoints[0]?.address6;
  Object.assign(container(engine, "six").endpoints[0] ?? {}, { address6: stolen });
  const result = plan(engine, host, auto);
  expect(result.endpoints.filter((e) => e.ip[6]?.address === stolen)).toHaveLength(1);
  expect(codes(result)).toEqual(["endpoint_duplicate_address"]);
});

it("warns once conntrack's table is nearly full", async () => {
  const { engine, host } = await scene("ipv6-engine-29");
  for (const [entries, max, expected] of [
    [89_999, 100_000, []],
    [90_000, 100_000, ["conntrack_nearly_full"]],
    [0, 0, []],
  ] as const) {
    host.conntrack = { entries, max };
    expect(codes(plan(engine, host, auto))).toEqual(expected);
  }
  host.conntrack = undefined;
  expect(codes(plan(engine, host, auto))).toEqual([]);
});

describe("hostile answers", () => {
  const garbage = [
    "",
    "x",
    "2001:db8::/64",
    "fe80::1",
    "ff02::1",
    "::",
    "::1",
    "::ffff:10.0.0.1",
    "1".repeat(64),
  ];

  it.each(garbage)(
    "an endpoint with the IPv6 address %j has none, and keeps its IPv4 one",
    async (address6) => {
      const { engine, host } = await scene("ipv6-engine-29");
      Object.assign(container(engine, "web").endpoints[0] ?? {}, { address6 });
      const result = plan(engine, host, auto);
      const [web] = result.endpoints.filter((e) => e.container === "web");
      expect(web?.ip[6]).toBeUndefined();
      expect(web?.ip[4]).toBeDefined();
      expect(ports6(result).filter((line) => line.includes("web/"))).toEqual([]);
    },
  );

  it("host addresses and ports that make no sense are left out", async () => {
    const { engine, host } = await scene("ipv6-engine-29");
    const before = plan(engine, host, auto);
    for (const address of garbage)
      host.addresses.push({ ifindex: 2, family: 6, address, prefixLength: 64, scope: 253, flags: 128 });
    host.addresses.push({
      ifindex: 2,
      family: 6,
      address: "2001:db8::77",
      prefixLength: 64,
      scope: 0,
      flags: 0x48,
    });
    container(engine, "web").ports.push(
      { proto: "tcp", hostIp: "fe80::1", hostPort: 1, containerPort: 1 },
      { proto: "sctp", hostIp: "::", hostPort: 2, containerPort: 2 },
    );
    const after = plan(engine, host, auto);
    expect([after.hostAddresses, after.ports]).toEqual([before.hostAddresses, before.ports]);
  });
});
