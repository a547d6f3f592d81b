/**
 * Engines that answer nonsense, and hosts that list it: from the raw JSON to the bytes of the maps nothing throws, and
 * what is planned is well-formed.
 */
import { describe, expect, it } from "vitest";
import { emptyActual } from "../../../src/datapath/actual.js";
import { diff } from "../../../src/datapath/diff.js";
import { Inventory } from "../../../src/docker/inventory.js";
import { canonical, FAMILIES, isUnicast } from "../../../src/ip.js";
import { plan } from "../../../src/plan/plan.js";
import { type EngineFixture, type FixtureName, fixture, source } from "../docker/fixtures.js";
import { hostFor } from "./host.js";

const NONSENSE: readonly unknown[] = [
  ...[
    "",
    " ",
    "x",
    "0.0.0.0",
    "255.255.255.255",
    "300.1.1.1",
    "127.0.0.1",
    "10.0.0.1/33",
    "1.2.3",
    "::",
    "::1",
  ],
  ...[
    "2001:db8::1",
    "2001:DB8::0:1",
    "fe80::1%eth0",
    "ff02::1",
    "::ffff:10.0.0.1",
    ":::",
    "[::]",
    "2001:db8::/64",
  ],
  ...[
    "0",
    "-1",
    "65536",
    "99999999999999999999",
    "1e3",
    "0x50",
    "80/tcp",
    "\u0000",
    "\u202e",
    "../../etc",
    "__proto__",
  ],
  ...["x".repeat(5000), "routed", "false", "f".repeat(64), "02:42:ac:11:00:02", "docker0", "constructor"],
  ...[null, 0, -1, 1.5, 2 ** 53, true, [], {}, [null]],
];

/** The same numbers in every run: mulberry32. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Replaces one leaf in `rarity` by nonsense, and a key now and then. */
function spoil(value: unknown, next: () => number, rarity: number): unknown {
  const pick = () => NONSENSE[Math.floor(next() * NONSENSE.length)];
  if (typeof value !== "object" || value === null) return next() < 1 / rarity ? pick() : value;
  if (Array.isArray(value)) return value.map((one) => spoil(one, next, rarity));
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [
      next() < 1 / (5 * rarity) ? String(pick()) : key,
      spoil(one, next, rarity),
    ]),
  );
}

const names: FixtureName[] = ["ipv6-engine-20.10", "ipv6-engine-29", "api-1.52-engine-29"];

describe.each(names)("%s, spoiled", (name) => {
  it("never throws, and plans nothing that is malformed", async () => {
    const data = fixture(name);
    let planned = 0;
    for (let seed = 0; seed < 150; seed++) {
      const next = random(seed);
      const rarity = 10 + Math.floor(next() * 200);
      const spoiled: EngineFixture = {
        ...data,
        networks: spoil(data.networks, next, rarity) as unknown[],
        containers: data.containers,
        inspect: spoil(data.inspect, next, rarity) as Record<string, unknown>,
      };
      const version = { version: "29", apiVersion: "1.52" };
      const { signal } = new AbortController();
      // The ids stay, or nothing would be inspected at all.
      const engine = await new Inventory(source(spoiled, data), () => undefined, signal).look(version);
      const host = hostFor(engine);
      const addresses = host.addresses.map((a) => spoil(a, next, rarity) as (typeof host.addresses)[number]);
      const text = (value: unknown) => (typeof value === "string" ? value : "");
      host.addresses = addresses.map((a, i) => ({
        ...(host.addresses[i] as (typeof host.addresses)[number]),
        address: text(a.address),
      }));
      const result = plan(engine, host, { uplinks: [] });
      diff(emptyActual(), result);
      planned += result.endpoints.length;
      for (const endpoint of result.endpoints) {
        for (const family of FAMILIES) {
          const ip = endpoint.ip[family];
          if (ip === undefined) continue;
          expect(canonical(ip.address, family)).toBe(ip.address);
          expect(isUnicast(ip.address)).toBe(true);
          if (ip.snatAddress !== undefined) expect(canonical(ip.snatAddress, family)).toBe(ip.snatAddress);
        }
      }
      for (const { address, containerAddress } of result.ports) {
        expect([canonical(address), canonical(containerAddress)]).toEqual([address, containerAddress]);
      }
      for (const address of result.hostAddresses) expect(canonical(address)).toBe(address);
    }
    expect(planned).toBeGreaterThan(150);
  }, 60_000);
});
