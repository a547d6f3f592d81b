import { expect, it, vi } from "vitest";
import type { HostState } from "../../../src/host/state.js";
import type { NetLink } from "../../../src/native/index.js";
import { plan } from "../../../src/plan/plan.js";
import { linksThatMatter, Planner } from "../../../src/plan/planner.js";
import { engineState, fixtureNames } from "../docker/fixtures.js";
import { hostFor } from "./host.js";

const scene = async () => {
  const engine = await engineState("api-1.52-engine-29");
  return { engine, host: hostFor(engine), planner: new Planner({ uplinks: [] }) };
};

it("gives the same plan for the same look, whatever number of connections there is", async () => {
  const { engine, host, planner } = await scene();
  const first = planner.plan(engine, { ...host, conntrack: { entries: 1, max: 1000 } });
  expect(planner.plan(engine, { ...host, conntrack: { entries: 2, max: 1000 } })).toBe(first);
  const full = planner.plan(engine, { ...host, conntrack: { entries: 950, max: 1000 } });
  expect(full.warnings.map(({ code }) => code)).toContain("conntrack_nearly_full");
});

it("gives the same plan where what has changed says nothing to it", async () => {
  const { engine, host, planner } = await scene();
  const first = planner.plan(engine, host);
  const device = { ifindex: 9999, name: "other0", type: 1, flags: 1, mtu: 1500, mac: "02:00:00:00:00:01" };
  expect(planner.plan(engine, { ...host, links: [...host.links, device] })).toBe(first);
  expect(planner.plan({ ...engine }, host)).toBe(first);
});

it("knows which devices say nothing to a plan: with them or without, it is the same", async () => {
  for (const name of fixtureNames) {
    const engine = await engineState(name);
    const host = hostFor(engine);
    const idle: NetLink[] = [1, 2].map((at) => ({
      ifindex: 900 + at,
      name: `veth${at}`,
      kind: "veth",
      type: 1,
      flags: 0x1,
      mtu: 1500,
      mac: "02:00:00:00:00:01",
      link: 903 - at,
      ...(at === 1 ? { linkNetnsid: 3 } : {}),
    }));
    const links = [...host.links, ...idle];
    const options = { uplinks: [] };
    expect(linksThatMatter(engine, { ...host, links }, options)).toEqual(host.links);
    expect(plan(engine, { ...host, links }, options)).toEqual(plan(engine, host, options));
    // Each of these says something.
    const matters = (link: Partial<NetLink>, rest: Partial<HostState> = {}, uplinks: string[] = []) => {
      const own = { ...(idle[0] as NetLink), ...link };
      const listed = linksThatMatter(engine, { ...host, links: [...host.links, own], ...rest }, { uplinks });
      return listed.includes(own);
    };
    expect(matters({})).toBe(false);
    expect(matters({ master: 10 })).toBe(true);
    expect(matters({ kind: "vlan" })).toBe(true);
    expect(matters({ name: "docker0" })).toBe(true);
    expect(matters({}, {}, ["veth1"])).toBe(true);
    const address = { ...(host.addresses[1] as HostState["addresses"][number]), ifindex: 901 };
    expect(matters({}, { addresses: [address] })).toBe(true);
    const route = { ...(host.defaultRoutes[0] as HostState["defaultRoutes"][number]), oif: 901 };
    expect(matters({}, { defaultRoutes: [route] })).toBe(true);
    const on = { ...(host.links[1] as NetLink), ifindex: 999, kind: "vlan", link: 901 };
    const own = idle[0] as NetLink;
    expect(linksThatMatter(engine, { ...host, links: [own, on] }, options)).toContain(own);
  }
});

it("does not plan at all where a pair of no concern comes and goes", async () => {
  const { engine, host, planner } = await scene();
  const first = planner.plan(engine, host);
  const pair: NetLink = {
    ifindex: 9999,
    name: "other0",
    kind: "veth",
    type: 1,
    flags: 1,
    mtu: 1500,
    link: 9998,
  };
  const containers = vi.fn(() => list);
  const list = engine.containers;
  Object.defineProperty(engine, "containers", { get: containers });
  expect(planner.plan(engine, { ...host, links: [...host.links, pair] })).toBe(first);
  expect(planner.plan(engine, { ...host, links: [...host.links] })).toBe(first);
  expect(containers).not.toHaveBeenCalled();
  expect(planner.plan(engine, { ...host, links: [...host.links, { ...pair, master: 10 }] })).toEqual(first);
  expect(containers).toHaveBeenCalled();
});

it("plans anew for another engine's state, another device or another rule", async () => {
  const { engine, host, planner } = await scene();
  const first = planner.plan(engine, host);
  expect(first.endpoints.length).toBeGreaterThan(0);
  const none = planner.plan({ ...engine, containers: [] }, host);
  expect(none.endpoints).toEqual([]);
  expect(planner.plan(engine, host)).toEqual(first);
  const mtus = host.links.map((link) => ({ ...link, mtu: 1400 }));
  expect(planner.plan(engine, { ...host, links: mtus }).endpoints[0]?.mtu).toBe(1400);
  const obstacle = { 4: "filter: a rule", 6: undefined };
  const filtered = planner.plan(engine, { ...host, routingObstacle: obstacle });
  expect(filtered.endpoints.some(({ ip }) => ip[4]?.filtered)).toBe(true);
});
