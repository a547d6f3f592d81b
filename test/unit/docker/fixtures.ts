import { readFileSync } from "node:fs";
import type { InventorySource } from "../../../src/docker/inventory.js";
import { Inventory } from "../../../src/docker/inventory.js";
import type { EngineState } from "../../../src/docker/model.js";

/**
 * What real engines answered about one scene: web (bridge, ports 8080:80, 127.0.0.1:8081:81, an address of the host's
 * :8082:82/udp), db (app, inner and quiet; -p 5432; on 29 also gwp with gateway priority 5), hosty, loner, sidecar,
 * inside (inner), still (paused), and on 29 routed.
 */
export interface EngineFixture {
  version: { Version: string; ApiVersion: string };
  networks: unknown[];
  containers: { Id: string }[];
  inspect: Record<string, unknown>;
  events: unknown[];
}

export const fixtureNames = [
  "api-1.41-engine-20.10",
  "api-1.44-engine-29",
  "api-1.48-engine-29",
  "api-1.52-engine-29",
] as const;
/**
 * Scenes of IPv6, the engines told to translate it: web (bridge; ports on [::], 127.0.0.1, [::1] and an address of the host's),
 * six, quiet (neither masqueraded nor ICC), inner (internal), four (an IPv4 network, and six's), and on 29 routed (IPv6
 * only routed) and only6 (no IPv4, host_ipv6).
 */
export const ipv6FixtureNames = ["ipv6-engine-20.10", "ipv6-engine-29"] as const;
export type FixtureName = (typeof fixtureNames)[number] | (typeof ipv6FixtureNames)[number];

export function fixture(name: FixtureName): EngineFixture {
  const url = new URL(`./fixtures/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(url, "utf8")) as EngineFixture;
}

/** An engine that answers with a fixture; counts what it is asked for. */
export interface FakeEngine extends InventorySource {
  inspected: string[];
  listed: number;
}

/** @param lists where the networks' lists are taken from */
export function source(data: EngineFixture, lists = data): FakeEngine {
  const engine: FakeEngine = {
    inspected: [],
    listed: 0,
    networks: async () => {
      engine.listed++;
      return data.networks;
    },
    network: async (id) => ({ Id: id, Containers: attachments(lists, id) }),
    container: async (id) => {
      engine.inspected.push(id);
      return data.inspect[id];
    },
  };
  return engine;
}

interface Inspected {
  NetworkSettings?: { Networks?: Record<string, { NetworkID: string; EndpointID: string }> };
}

/** What GET /networks/ID has as "Containers": of those that the list of containers has. */
function attachments(data: EngineFixture, networkId: string): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const { Id } of data.containers) {
    const { NetworkSettings } = (data.inspect[Id] ?? {}) as Inspected;
    for (const { NetworkID, EndpointID } of Object.values(NetworkSettings?.Networks ?? {}))
      if (NetworkID === networkId) found[Id] = { Name: nameOf(data, Id), EndpointID };
  }
  return found;
}

export function nameOf(data: EngineFixture, id: string): string {
  const item = data.containers.find((container) => container.Id === id) as { Names?: string[] } | undefined;
  return item?.Names?.[0]?.replace(/^\//, "") ?? "";
}

export async function engineState(name: FixtureName): Promise<EngineState> {
  const data = fixture(name);
  const version = { version: data.version.Version, apiVersion: data.version.ApiVersion };
  return new Inventory(source(data), () => undefined, new AbortController().signal).look(version);
}
