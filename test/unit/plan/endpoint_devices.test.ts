import { expect, it } from "vitest";
import { likelyEndpointDevices } from "../../../src/plan/endpoint_devices.js";
import { plan } from "../../../src/plan/plan.js";
import { engineState, fixtureNames } from "../docker/fixtures.js";
import { hostFor } from "./host.js";

const sorted = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b);

it.each(fixtureNames)("are those of the plan, before any container is known (%s)", async (name) => {
  const engine = await engineState(name);
  const host = hostFor(engine);
  const planned = plan(engine, host, { uplinks: [] }).endpoints.map((e) => e.ifindex);
  expect(planned.length).toBeGreaterThan(3);
  expect(sorted(likelyEndpointDevices(engine.networks, host.links))).toEqual(sorted(planned));
});

it("are none of networks that a label leaves to the engine, and none of others' bridges and pairs", async () => {
  const engine = await engineState(fixtureNames[0] as (typeof fixtureNames)[number]);
  const { links } = hostFor(engine);
  const off = engine.networks.map((n) => ({ ...n, labels: { "fairway.enable": "false" } }));
  expect(likelyEndpointDevices(off, links)).toEqual([]);
  const without = <K extends "master" | "linkNetnsid" | "kind">(key: K) =>
    links.map((link) => (link.kind === "veth" ? { ...link, [key]: undefined } : link));
  for (const key of ["master", "linkNetnsid", "kind"] as const)
    expect(likelyEndpointDevices(engine.networks, without(key) as typeof links)).toEqual([]);
});
