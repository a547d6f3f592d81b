import { describe, expect, it } from "vitest";
import {
  addressesByDevice,
  type DeviceKnowledge,
  differing,
  voidsFlows,
} from "../../../src/controller/epoch_watch.js";
import type { NetEvent, NetLink } from "../../../src/native/index.js";

const base = { type: 1, flags: 0x11043, mtu: 1500 };
const eth0: NetLink = { ...base, ifindex: 2, name: "eth0", mac: "02:00:00:00:00:01" };
const links: NetLink[] = [
  eth0,
  { ...base, ifindex: 3, name: "docker0", kind: "bridge" },
  { ...base, ifindex: 4, name: "br-0123456789ab", kind: "bridge" },
  { ...base, ifindex: 5, name: "mybridge", kind: "bridge" },
  { ...base, ifindex: 6, name: "virbr0", kind: "bridge" },
  { ...base, ifindex: 7, name: "veth12", kind: "veth", master: 3 },
  { ...base, ifindex: 8, name: "wg0", kind: "wireguard", type: 65534 },
  { ...base, ifindex: 9, name: "lab0", kind: "veth" },
];
const table = new Map(links.map((l) => [l.ifindex, l]));
const known: DeviceKnowledge = {
  links: table,
  before: table,
  uplinks: new Set([2, 9]),
  engineBridges: new Set(["docker0", "mybridge"]),
  readdressed: new Set([2, 3, 4, 5, 6, 7, 8, 9, 77]),
};

const event = (kind: NetEvent["kind"], ifindex?: number, link?: NetLink): NetEvent => ({
  kind,
  action: "new",
  ...(ifindex === undefined ? {} : { ifindex }),
  ...(link === undefined ? {} : { link }),
});

describe("voidsFlows", () => {
  it("for every routing rule, and for routes without a device", () => {
    expect(voidsFlows(event("rule"), known)).toBe(true);
    expect(voidsFlows(event("route"), known)).toBe(true);
  });

  it.each([
    [2, "an uplink", true],
    [9, "a veth that is an uplink", true],
    [8, "another way out", true],
    [6, "a bridge that is not the engine's", true],
    [3, "the engine's bridge", false],
    [4, "a bridge that the engine just made", false],
    [5, "a bridge that the engine was told the name of", false],
    [7, "a container's veth", false],
    [77, "a device that came and went", false],
  ])("for routes and addresses at device %i, %s: %s", (ifindex, _what, expected) => {
    expect(voidsFlows(event("route", ifindex), known)).toBe(expected);
    expect(voidsFlows(event("address", ifindex), known)).toBe(expected);
  });

  it("for addresses only where they are others: routers tell their lifetimes again and again", () => {
    const address = (ifindex: number, address: string, flags = 0) =>
      ({ ifindex, family: 6, address, prefixLength: 64, scope: 0, flags }) as const;
    const before = addressesByDevice([
      address(2, "2001:db8::1"),
      address(2, "2001:db8::2"),
      address(6, "2001:db8::6"),
    ]);
    const now = addressesByDevice([
      address(2, "2001:db8::1"),
      address(2, "2001:db8::2"),
      address(9, "2001:db8::9"),
    ]);
    expect(differing(before, now)).toEqual(new Set([6, 9]));
    const judged = { ...known, readdressed: differing(before, now) };
    expect(voidsFlows(event("address", 2), judged)).toBe(false);
    expect(voidsFlows(event("address", 6), judged)).toBe(true);
    expect(voidsFlows(event("address", 9), judged)).toBe(true);
    // No longer tentative, or deprecated: the kernel chooses another from now on.
    const settled = addressesByDevice([address(2, "2001:db8::1", 0x40), address(2, "2001:db8::2")]);
    expect(differing(before, settled)).toContain(2);
  });

  it("for a route that went with its device", () => {
    const gone = { ...known, links: new Map([...table].filter(([ifindex]) => ifindex !== 8)) };
    expect(voidsFlows({ kind: "route", action: "del", ifindex: 8 }, gone)).toBe(true);
  });

  it("for an uplink's state, not for what else it tells of itself", () => {
    expect(voidsFlows(event("link", 2, eth0), known)).toBe(false);
    expect(voidsFlows(event("link", 2, { ...eth0, flags: eth0.flags | 0x100 }), known)).toBe(false);
    expect(voidsFlows(event("link", 2, { ...eth0, flags: eth0.flags & ~0x1 }), known)).toBe(true);
    expect(voidsFlows(event("link", 2, { ...eth0, mtu: 1400 }), known)).toBe(true);
    expect(voidsFlows(event("link", 2, { ...eth0, mac: "02:00:00:00:00:02" }), known)).toBe(true);
    expect(voidsFlows({ kind: "link", action: "del", ifindex: 2, link: eth0 }, known)).toBe(true);
  });

  it("not for containers' devices coming and going, nor for neighbours", () => {
    expect(voidsFlows({ kind: "link", action: "del", ifindex: 7 }, known)).toBe(false);
    expect(voidsFlows(event("link", 50, { ...base, ifindex: 50, name: "veth50", kind: "veth" }), known)).toBe(
      false,
    );
    expect(voidsFlows(event("neighbour", 2), known)).toBe(false);
  });
});
