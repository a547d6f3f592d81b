/** Published ports as processes of the host dial them. */
import { describe, expect, it } from "vitest";
import type { EngineState } from "../../../src/docker/model.js";
import type { HostDials, HostState } from "../../../src/host/state.js";
import type { PerFamily } from "../../../src/ip.js";
import { planHostAddresses } from "../../../src/plan/host_ports.js";
import { plan } from "../../../src/plan/plan.js";
import type { PlanOptions } from "../../../src/plan/types.js";
import { engineState, ipv6FixtureNames } from "../docker/fixtures.js";
import { hostFor } from "./host.js";

const auto = { uplinks: [] };

async function scene(change: (engine: EngineState) => void = () => {}) {
  const engine = await engineState(ipv6FixtureNames[0] ?? "ipv6-engine-29");
  change(engine);
  return { engine, host: hostFor(engine) };
}

const dials = (change: Partial<HostDials>): HostDials => ({
  obstacle: undefined,
  translated: "addresses",
  masqueraded: new Map(),
  ...change,
});

/** Sets what is known of a host's dials, by family. */
function know(host: HostState, of: PerFamily<Partial<HostDials>>): HostState {
  return { ...host, dials: { 4: dials(of[4]), 6: dials(of[6]) } };
}

/** Of container "web" on the default bridge, with a port on every kind of address. */
async function web(of: PerFamily<Partial<HostDials>>, options: PlanOptions = auto, hasIpv6 = true) {
  const { engine, host } = await scene(({ containers, networks }) => {
    for (const container of containers) container.ports = [];
    const container = containers.find(({ name }) => name === "web");
    if (container === undefined) throw new Error("no web");
    const hosts = ["0.0.0.0", "127.0.0.1", "198.18.0.5", "::", "::1", "2001:db8::5", "224.0.0.1"];
    container.ports = hosts.map((hostIp, i) => ({
      proto: "tcp",
      hostIp,
      hostPort: 8000 + i,
      containerPort: 80,
    }));
    container.ports.push({ proto: "sctp", hostIp: "0.0.0.0", hostPort: 9000, containerPort: 90 });
    if (hasIpv6) return;
    for (const endpoint of container.endpoints) {
      delete endpoint.address6;
      delete endpoint.gateway6;
    }
    for (const network of networks) network.gatewayModeIpv6 = "nat";
  });
  const result = plan(engine, know(host, of), options);
  const endpoint = result.endpoints.find((one) => one.container === "web");
  const ports = Object.fromEntries(
    result.hostPorts.map(({ address, loopback, addresses, containerAddress, keepSource, source }) => {
      expect([endpoint?.ip[4]?.address, endpoint?.ip[6]?.address]).toContain(containerAddress);
      const family = containerAddress.includes(":") ? 6 : 4;
      return [address, { loopback, addresses, family, keepSource, source }];
    }),
  );
  return { ports, result, bridge: endpoint?.bridge ?? "" };
}

describe("published ports that the host's processes dial", () => {
  it("with docker-proxy: loopback is its, the rest is translated with the source kept", async () => {
    const { ports } = await web({ 4: {}, 6: {} });
    const any = { loopback: "proxied", addresses: "translated", keepSource: true, source: undefined };
    expect(ports).toEqual({
      "0.0.0.0": { ...any, family: 4 },
      "127.0.0.1": { ...any, family: 4, addresses: undefined },
      "198.18.0.5": { ...any, family: 4, loopback: undefined },
      "::": { ...any, family: 6 },
      "::1": { ...any, family: 6, addresses: undefined },
      "2001:db8::5": { ...any, family: 6, loopback: undefined },
    });
  });

  it("without it: all of IPv4 is translated, IPv6's loopback is nobody's", async () => {
    const { bridge } = await web({ 4: {}, 6: {} });
    const masqueraded = new Map([[bridge, undefined]]);
    const { ports } = await web({
      4: { translated: "all", masqueraded },
      6: { translated: "all", masqueraded },
    });
    const any = { loopback: "translated", addresses: "translated", keepSource: false, source: undefined };
    expect(ports).toEqual({
      "0.0.0.0": { ...any, family: 4 },
      "127.0.0.1": { ...any, family: 4, addresses: undefined },
      "198.18.0.5": { ...any, family: 4, loopback: undefined },
      "::": { ...any, family: 6, loopback: undefined },
      "2001:db8::5": { ...any, family: 6, loopback: undefined },
    });
  });

  it("has the source that the engine was told to translate to", async () => {
    const { bridge } = await web({ 4: {}, 6: {} });
    const masqueraded = new Map([[bridge, "198.18.0.5"]]);
    const { ports } = await web({ 4: { translated: "all", masqueraded }, 6: { translated: "none" } });
    expect(ports["0.0.0.0"]).toMatchObject({ keepSource: false, source: "198.18.0.5" });
  });

  it("leaves loopback alone where nothing would come back to it", async () => {
    const { ports } = await web({ 4: { translated: "all" }, 6: { translated: "all" } });
    expect(ports["0.0.0.0"]).toMatchObject({
      loopback: undefined,
      addresses: "translated",
      keepSource: true,
    });
    expect(ports).not.toHaveProperty("127.0.0.1");
  });

  it("takes docker-proxy's way to a container without IPv6, and to one whose family the engine has no rules in", async () => {
    const proxied = { loopback: "proxied", addresses: "proxied", keepSource: false, source: undefined };
    expect((await web({ 4: {}, 6: {} }, auto, false)).ports["::"]).toEqual({ ...proxied, family: 4 });
    const without = await web({ 4: {}, 6: { translated: "none" } });
    expect(without.ports["::"]).toEqual({ ...proxied, family: 6, keepSource: true });
    // No docker-proxy, no way.
    const { ports } = await web({ 4: { translated: "all" }, 6: { translated: "none" } }, auto, false);
    expect(Object.keys(ports).filter((address) => address.includes(":"))).toEqual([]);
  });

  it("is nobody's where the engine has no rules at all: they would tell whether docker-proxy is on", async () => {
    expect((await web({ 4: { translated: "none" }, 6: { translated: "none" } })).ports).toEqual({});
  });

  it("leaves a family to the engine whose packets a rule may concern, with a warning; a way through both needs both", async () => {
    const obstacle = "filter: -A OUTPUT -j DROP";
    const { ports, result } = await web({ 4: { obstacle }, 6: {} });
    expect(new Set(Object.keys(ports))).toEqual(new Set(["::", "::1", "2001:db8::5"]));
    expect(result.warnings.map(({ code }) => code)).toContain("dials_filtered");
    expect(result.warnings.find(({ code }) => code === "dials_filtered")?.message).toContain(obstacle);
    expect((await web({ 4: { obstacle }, 6: {} }, auto, false)).ports).toEqual({});
  });

  it("is nothing when switched off, and says so to the datapath", async () => {
    const { ports, result } = await web({ 4: {}, 6: {} }, { uplinks: [], hostSockets: "off" });
    expect(ports).toEqual({});
    expect(result.hostSockets).toBe(false);
  });

  it("plans nothing for networks whose gateway does not translate", async () => {
    const { engine, host } = await scene(({ networks }) => {
      for (const network of networks)
        Object.assign(network, { gatewayModeIpv4: "routed", gatewayModeIpv6: "routed" });
    });
    expect(plan(engine, host, auto).hostPorts).toEqual([]);
  });
});

describe("the host's addresses that can be dialled", () => {
  it("have the source that the kernel gives: the subnet's primary address, and know whose gateway they are", async () => {
    const { host } = await scene();
    const planned = planHostAddresses(host, new Set(["docker0"]));
    const docker0 = host.links.find(({ name }) => name === "docker0")?.ifindex;
    const of = (address: string) => planned.find((one) => one.address === address);
    expect(of("198.18.0.5")).toEqual({
      address: "198.18.0.5",
      source: "198.18.0.5",
      bridgeIfindex: undefined,
    });
    expect(of("198.18.0.6")).toMatchObject({ source: "198.18.0.5" });
    expect(of("2001:db8::5")).toMatchObject({ source: "2001:db8::5" });
    expect(planned.filter(({ bridgeIfindex }) => bridgeIfindex === docker0).length).toBeGreaterThan(0);
    expect(planned.map(({ address }) => address).filter((a) => /^(127|fe80)/.test(a))).toEqual([]);
  });

  it("leave out a secondary address whose primary is not known, and one that is not ours yet", async () => {
    const { host } = await scene();
    const at = { ifindex: 2, scope: 0 };
    host.addresses = [
      { ...at, family: 4, address: "198.18.7.1", prefixLength: 24, flags: 0x81 },
      { ...at, family: 4, address: "198.18.8.1", prefixLength: 32, flags: 0x80 },
      { ...at, family: 6, address: "2001:db8::7", prefixLength: 64, flags: 0x40 },
    ];
    expect(planHostAddresses(host, new Set()).map(({ address }) => address)).toEqual(["198.18.8.1"]);
  });
});
