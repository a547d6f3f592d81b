import { expect, it } from "vitest";
import { Planner } from "../../../src/plan/planner.js";
import { engineState } from "../docker/fixtures.js";
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
