import { describe, expect, it } from "vitest";
import type { EngineContainer, EngineState } from "../../../src/docker/model.js";
import type { HostState } from "../../../src/host/state.js";
import { formatMac, withPort } from "../../../src/ip.js";
import { plan } from "../../../src/plan/plan.js";
import type { Plan } from "../../../src/plan/types.js";
import { engineState, type FixtureName, fixtureNames } from "../docker/fixtures.js";
import { hostFor } from "./host.js";

const auto = { uplinks: [] };

async function scene(name: FixtureName): Promise<{ engine: EngineState; host: HostState }> {
  const engine = await engineState(name);
  return { engine, host: hostFor(engine) };
}

function container(engine: EngineState, name: string): EngineContainer {
  const found = engine.containers.find((c) => c.name === name);
  if (found === undefined) throw new Error(`no container ${name}`);
  return found;
}

function of(result: Plan, name: string) {
  return result.endpoints.filter((e) => e.container === name);
}

function codes(result: Plan): string[] {
  return result.warnings.map((w) => w.code);
}

describe.each(fixtureNames)("%s", (name) => {
  const is29 = name !== "api-1.41-engine-20.10";
  const dbGateway = is29 ? "gwp" : "app";

  it("plans every endpoint on a bridge, and none elsewhere", async () => {
    const { engine, host } = await scene(name);
    const result = plan(engine, host, auto);
    const names = result.endpoints.map((e) => `${e.container}/${e.network}`).sort();
    expect(names).toEqual(
      ["db/app", "db/inner", "db/quiet", "inside/inner", "still/bridge", "web/bridge"]
        .concat(is29 ? ["db/gwp", "routed/routed"] : [])
        .sort(),
    );
    expect(result.warnings).toEqual([]);
    expect(result.unsure).toEqual([]);
    expect(result.endpoints.map((e) => e.endpointId)).toEqual(
      result.endpoints.map((e) => e.endpointId).sort(),
    );
  });

  it("finds each endpoint's device, bridge and addresses", async () => {
    const { engine, host } = await scene(name);
    const result = plan(engine, host, auto);
    const [web] = of(result, "web");
    const [endpoint] = container(engine, "web").endpoints;
    const bridge = host.links.find((l) => l.name === "docker0");
    const veth = host.links.find((l) => l.ifindex === web?.ifindex);
    expect(veth).toMatchObject({ kind: "veth", master: bridge?.ifindex, name: web?.device });
    expect(web).toMatchObject({
      bridge: "docker0",
      bridgeIfindex: bridge?.ifindex,
      mtu: 1500,
      ip: { 4: { address: endpoint?.address4, snatAddress: undefined }, 6: undefined },
    });
    expect(formatMac(web?.mac ?? new Uint8Array())).toBe(endpoint?.mac);
    expect(formatMac(web?.bridgeMac ?? new Uint8Array())).toBe(bridge?.mac);
    // One device each.
    expect(new Set(result.endpoints.map((e) => e.ifindex)).size).toBe(result.endpoints.length);
  });

  it("masquerades at the gateway endpoint of networks that do", async () => {
    const { engine, host } = await scene(name);
    const masqueraded = plan(engine, host, auto).endpoints.filter((e) => e.ip[4]?.masquerade);
    expect(masqueraded.map((e) => `${e.container}/${e.network}`).sort()).toEqual(
      [`db/${dbGateway}`, "still/bridge", "web/bridge"].sort(),
    );
  });

  it("bridges where containers of a network may talk", async () => {
    const { engine, host } = await scene(name);
    const not = plan(engine, host, auto).endpoints.filter((e) => !e.bridging);
    expect(not.map((e) => `${e.container}/${e.network}`)).toEqual(["db/quiet"]);
  });

  it("plans the published ports that the fast path can have", async () => {
    const { engine, host } = await scene(name);
    const result = plan(engine, host, auto);
    const byId = new Map(result.endpoints.map((e) => [e.endpointId, e]));
    const lines = result.ports.map((p) => {
      const e = byId.get(p.endpointId);
      expect(p.containerAddress).toBe(e?.ip[4]?.address);
      return `${p.proto} ${withPort(p.address, p.port)} ${e?.container}/${e?.network}:${p.containerPort}`;
    });
    const database = container(engine, "db").ports[0]?.hostPort;
    const [hostAddress] = container(engine, "web").ports.filter((p) => p.proto === "udp");
    expect(lines).toEqual([
      "tcp 0.0.0.0:8080 web/bridge:80",
      "tcp 0.0.0.0:9999 still/bridge:99",
      `tcp 0.0.0.0:${database} db/${dbGateway}:5432`,
      `udp ${hostAddress?.hostIp}:8082 web/bridge:82`,
    ]);
  });

  it("does not depend on the order of anything", async () => {
    const { engine, host } = await scene(name);
    const first = plan(engine, host, auto);
    for (const c of engine.containers) {
      c.endpoints.reverse();
      c.ports.reverse();
    }
    engine.containers.reverse();
    engine.networks.reverse();
    host.links.reverse();
    expect(plan(engine, host, auto)).toEqual(first);
  });

  it("leaves its input alone", async () => {
    const { engine, host } = await scene(name);
    const before = structuredClone({ engine, host });
    plan(engine, host, { uplinks: ["eth0"] });
    expect({ engine, host }).toEqual(before);
  });
});

describe("endpoints", () => {
  it("warns of one whose device is not there yet, and says that it will pass", async () => {
    const { engine, host } = await scene("api-1.41-engine-20.10");
    host.nsids.delete(container(engine, "web").sandboxKey);
    const result = plan(engine, host, auto);
    expect(of(result, "web")).toEqual([]);
    expect(result.ports.some((p) => p.port === 8080)).toBe(false);
    expect(result.warnings).toEqual([
      {
        code: "endpoint_without_veth",
        message: "container web on network bridge: no device of it (yet)",
        transient: true,
      },
    ]);
  });

  it("warns of a bridge that is not there: another engine's namespace", async () => {
    const { engine, host } = await scene("api-1.41-engine-20.10");
    host.links = host.links.filter((l) => l.name !== "docker0");
    expect(codes(plan(engine, host, auto))).toEqual(["endpoint_without_veth", "endpoint_without_veth"]);
  });

  it("leaves out an endpoint without address or with one that is none", async () => {
    const { engine, host } = await scene("api-1.52-engine-29");
    const [endpoint] = container(engine, "web").endpoints;
    for (const change of [
      { address4: "127.0.0.9" },
      { address4: "224.0.0.1" },
      { mac: "x" },
      { endpointId: "" },
    ]) {
      const changed = structuredClone(engine);
      Object.assign(container(changed, "web").endpoints[0] ?? {}, { ...endpoint, ...change });
      const result = plan(changed, host, auto);
      expect(of(result, "web")).toEqual([]);
      expect(codes(result)).toContain("endpoint_without_address");
    }
  });

  it("lets the first of two endpoints with one address have it", async () => {
    const { engine, host } = await scene("api-1.41-engine-20.10");
    Object.assign(container(engine, "inside").endpoints[0] ?? {}, {
      address4: container(engine, "web").endpoints[0]?.address4,
    });
    const result = plan(engine, host, auto);
    expect(of(result, "web").length + of(result, "inside").length).toBe(1);
    expect(codes(result)).toEqual(["endpoint_duplicate_address"]);
  });

  it("leaves out containers that don't run", async () => {
    const { engine, host } = await scene("api-1.41-engine-20.10");
    container(engine, "web").running = false;
    const result = plan(engine, host, auto);
    expect(of(result, "web")).toEqual([]);
    expect(result.warnings).toEqual([]);
  });

  it("does not bridge where rules that are not the engine's see bridged packets, and says so once per network", async () => {
    const { engine, host } = await scene("api-1.41-engine-20.10");
    host.bridgingObstacle = "filter: -A DOCKER-USER -j DROP";
    const result = plan(engine, host, auto);
    expect(result.endpoints.filter((e) => e.bridging)).toEqual([]);
    expect(codes(result)).toEqual(["bridging_filtered", "bridging_filtered", "bridging_filtered"]);
    expect(result.endpoints.filter((e) => e.ip[4]?.filtered)).toEqual([]);
  });

  it("leaves new connections to the kernel where rules that are not the engine's may concern them, and says so once", async () => {
    const { engine, host } = await scene("api-1.41-engine-20.10");
    expect(plan(engine, host, auto).endpoints.filter((e) => e.ip[4]?.filtered)).toEqual([]);
    host.routingObstacle = { 4: "filter: -A DOCKER-USER -j DROP", 6: undefined };
    const result = plan(engine, host, auto);
    expect(result.endpoints.length).toBeGreaterThan(1);
    expect(result.endpoints.filter((e) => !e.ip[4]?.filtered)).toEqual([]);
    expect(result.warnings).toEqual([
      {
        code: "connections_filtered",
        message:
          "new connections of IPv4 are decided by the kernel's firewall rules and go fast once established: a rule of yours may concern them (filter: -A DOCKER-USER -j DROP)",
        transient: false,
      },
    ]);
    expect(plan({ ...engine, containers: [] }, host, auto).warnings).toEqual([]);
  });

  it("plans as if there were no rules of the user's where they are not to count, and names the first one", async () => {
    const { engine, host } = await scene("api-1.41-engine-20.10");
    const ignoring = { ...auto, trustFirewall: "ignore" } as const;
    const message = "rules of yours don't count on the fast path (trust-firewall: ignore)";
    const without = plan(engine, host, auto);
    expect(plan(engine, host, ignoring)).toEqual({
      ...without,
      warnings: [{ code: "firewall_ignored", message, transient: false }],
    });
    const rule = "filter: -A DOCKER-USER -j DROP";
    host.routingObstacle = { 4: rule, 6: rule };
    host.bridgingObstacle = rule;
    for (const dials of [host.dials[4], host.dials[6]]) dials.obstacle = rule;
    expect(plan(engine, host, ignoring)).toEqual({
      ...without,
      warnings: [
        {
          code: "firewall_ignored",
          message: `${message}, though one may concern its connections (${rule})`,
          transient: false,
        },
      ],
    });
  });

  it("does not bridge where the engine runs without docker-proxy: answers of published ports are NATed in the bridge", async () => {
    const { engine, host } = await scene("api-1.41-engine-20.10");
    for (const link of host.links) if (link.kind === "veth") link.hairpin = true;
    expect(plan(engine, host, auto).endpoints.filter((e) => e.bridging)).toEqual([]);
  });

  it("bridges in mode replace whatever the engine does to its ports: answers go to the gateway", async () => {
    const { engine, host } = await scene("api-1.41-engine-20.10");
    const bridging = () =>
      plan(engine, host, { ...auto, mode: "replace" }).endpoints.filter((e) => e.bridging).length;
    const before = bridging();
    expect(before).toBeGreaterThan(0);
    for (const link of host.links) if (link.kind === "veth") link.hairpin = true;
    expect(bridging()).toBe(before);
  });

  it("takes the address to masquerade to from the network", async () => {
    const { engine, host } = await scene("api-1.52-engine-29");
    const bridge = engine.networks.find((n) => n.name === "bridge");
    Object.assign(bridge ?? {}, { hostIpv4: "198.18.0.6" });
    expect(of(plan(engine, host, auto), "web")[0]?.ip[4]).toMatchObject({
      masquerade: true,
      snatAddress: "198.18.0.6",
    });
  });

  it("keeps what is unsure, but for what could be planned after all", async () => {
    const { engine, host } = await scene("api-1.52-engine-29");
    const planned = container(engine, "web").endpoints[0]?.endpointId ?? "";
    engine.unsure = ["ff".repeat(32), planned];
    expect(plan(engine, host, auto).unsure).toEqual(["ff".repeat(32)]);
  });
});

describe("ports", () => {
  it("has none where all networks of a container are internal", async () => {
    const { engine, host } = await scene("api-1.41-engine-20.10");
    const app = engine.networks.find((n) => n.name === "app");
    const quiet = engine.networks.find((n) => n.name === "quiet");
    for (const n of [app, quiet]) if (n) n.internal = true;
    const result = plan(engine, host, auto);
    expect(of(result, "db").map((e) => [e.ip[4]?.gateway, e.ip[4]?.masquerade])).toEqual([
      [false, false],
      [false, false],
      [false, false],
    ]);
    expect(result.ports.some((p) => p.containerPort === 5432)).toBe(false);
  });

  it("publishes to an address that does not masquerade all the same", async () => {
    const { engine, host } = await scene("api-1.41-engine-20.10");
    const app = engine.networks.find((n) => n.name === "app");
    if (app) app.masquerade = false;
    const result = plan(engine, host, auto);
    expect(of(result, "db").filter((e) => e.ip[4]?.masquerade)).toEqual([]);
    expect(result.ports.some((p) => p.containerPort === 5432)).toBe(true);
  });

  it("keeps the first of two containers that claim one port, and warns", async () => {
    const { engine, host } = await scene("api-1.41-engine-20.10");
    container(engine, "still").ports = structuredClone(container(engine, "web").ports);
    const result = plan(engine, host, auto);
    const [port] = result.ports.filter((p) => p.port === 8080);
    const [first] = result.endpoints.filter((e) => ["web", "still"].includes(e.container));
    expect(port?.endpointId).toBe(first?.endpointId);
    expect(codes(result)).toContain("port_conflict");
  });
});

describe("host addresses", () => {
  it("are all but loopback and link-local, secondary ones and bridges' too", async () => {
    const { engine, host } = await scene("api-1.41-engine-20.10");
    const addresses = plan(engine, host, auto).hostAddresses;
    const some = ["198.18.0.5", "198.18.0.6", "172.17.0.1", "2001:db8::5"];
    expect(addresses).toEqual(expect.arrayContaining(some));
    expect(addresses).not.toContain("127.0.0.1");
    expect(addresses).not.toContain("fe80::1");
    expect(addresses.length).toBe(3 + engine.networks.filter((n) => n.driver === "bridge").length);
  });
});

describe("uplinks", () => {
  const names = (result: Plan) => result.uplinks.map((u) => u.name);

  it("are Ethernet devices with an address; only primary addresses are masqueraded to", async () => {
    const { engine, host } = await scene("api-1.41-engine-20.10");
    expect(plan(engine, host, auto).uplinks).toEqual([
      {
        ifindex: 2,
        name: "eth0",
        mtu: 1500,
        l3: false,
        addresses: [{ address: "198.18.0.5", netmask: "255.255.255.0" }],
        ipv6: "2001:db8::5",
      },
    ]);
  });

  it("may be a veth, but not one that is part of a bridge, nor a bond's part, nor what is down or has no address", async () => {
    const { engine, host } = await scene("api-1.41-engine-20.10");
    const bridge = host.links.find((l) => l.kind === "bridge")?.ifindex ?? 0;
    const base = { type: 1, flags: 1, mtu: 9000 };
    host.links.push(
      { ...base, ifindex: 100, name: "lab0", kind: "veth", linkNetnsid: 77 },
      { ...base, ifindex: 101, name: "port0", master: bridge },
      { ...base, ifindex: 102, name: "down0", flags: 0 },
      { ...base, ifindex: 103, name: "bare0" },
      { ...base, ifindex: 104, name: "tun0", type: 65534 },
      { ...base, ifindex: 105, name: "bond0", kind: "bond" },
      { ...base, ifindex: 106, name: "eth7", master: 105 },
    );
    for (const ifindex of [100, 101, 102, 104, 105, 106]) {
      host.addresses.push({
        ifindex,
        family: 4,
        address: `198.18.${ifindex}.1`,
        prefixLength: 32,
        scope: 0,
        flags: 128,
      });
    }
    host.addresses.push({
      ifindex: 103,
      family: 4,
      address: "169.254.1.1",
      prefixLength: 16,
      scope: 253,
      flags: 0,
    });
    expect(names(plan(engine, host, auto))).toEqual(["eth0", "lab0", "bond0"]);
  });

  it("are those that the user named, where they are", async () => {
    const { engine, host } = await scene("api-1.41-engine-20.10");
    host.links.push({ ifindex: 100, name: "bare0", type: 1, flags: 1, mtu: 1500 });
    host.links.push({ ifindex: 101, name: "down0", type: 1, flags: 0, mtu: 1500 });
    const result = plan(engine, host, { uplinks: ["bare0", "down0", "gone0", "eth0"] });
    expect(names(result)).toEqual(["eth0", "bare0"]);
    expect(codes(result)).toEqual(["uplink_missing", "uplink_missing", "uplink_without_address"]);
  });

  it("warns when the default route leaves elsewhere, or when there are none", async () => {
    const { engine, host } = await scene("api-1.41-engine-20.10");
    const eth0 = host.links.find((l) => l.name === "eth0");
    Object.assign(eth0 ?? {}, { type: 772 });
    const result = plan(engine, host, auto);
    expect(result.uplinks).toEqual([]);
    expect(codes(result)).toEqual(["default_route_elsewhere", "no_uplink"]);
    host.defaultRoutes = [
      { family: 4, table: 254, oif: host.links.find((l) => l.name === "docker0")?.ifindex ?? 0, priority: 0 },
    ];
    expect(codes(plan(engine, host, auto))).toEqual(["no_uplink", "uplink_is_bridge"]);
  });
});
