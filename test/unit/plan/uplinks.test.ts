import { describe, expect, it } from "vitest";
import { defaultRoutes, routeMtus } from "../../../src/host/routes.js";
import type { HostState } from "../../../src/host/state.js";
import type { NetAddress, NetLink, NetRoute } from "../../../src/native/index.js";
import type { PlanWarning } from "../../../src/plan/types.js";
import { planUplinks } from "../../../src/plan/uplinks.js";
import { hostFor } from "./host.js";

const UP = 0x1;
const [TEMPORARY, DADFAILED, DEPRECATED, TENTATIVE, PERMANENT] = [0x01, 0x08, 0x20, 0x40, 0x80];

interface World {
  links: NetLink[];
  addresses?: NetAddress[];
  /** Devices of default routes, "4:2" for one of IPv4 at device 2; a table other than main after it: "4:2:51820". */
  routes?: string[];
  engineBridges?: string[];
  named?: string[];
}

function host({ links, addresses = [], routes = [] }: World): HostState {
  const empty = hostFor({
    version: "29",
    apiVersion: "1.52",
    networks: [],
    containers: [],
    unsure: [],
    warnings: [],
  });
  const defaults = routes.map((route) => {
    const [family, oif = 0, table = 254] = route.split(":").map(Number);
    return { family: family as 4 | 6, oif, table, priority: 0 };
  });
  return { ...empty, links, addresses, defaultRoutes: defaults };
}

function planned(world: World) {
  const warnings: PlanWarning[] = [];
  const options = { uplinks: world.named ?? [] };
  const uplinks = planUplinks(host(world), new Set(world.engineBridges), options, warnings);
  return { uplinks, names: uplinks.map((u) => u.name), codes: warnings.map((w) => w.code), warnings };
}

const device = (ifindex: number, name: string, more: Partial<NetLink> = {}): NetLink => ({
  ifindex,
  name,
  type: 1,
  flags: UP,
  mtu: 1500,
  ...more,
});
const address = (ifindex: number, text: string, flags = PERMANENT, scope = 0): NetAddress => ({
  ifindex,
  family: text.includes(":") ? 6 : 4,
  address: text,
  prefixLength: text.includes(":") ? 64 : 24,
  scope,
  flags,
});

const eth0 = device(2, "eth0");

describe("the uplinks that are chosen", () => {
  it("may have IPv6 alone", () => {
    const { uplinks, codes } = planned({
      links: [eth0],
      addresses: [address(2, "2001:db8::5")],
      routes: ["6:2"],
    });
    expect(uplinks).toEqual([
      { ifindex: 2, name: "eth0", mtu: 1500, l3: false, addresses: [], ipv6: "2001:db8::5" },
    ]);
    expect(codes).toEqual([]);
  });

  it("are not devices with link-local addresses alone", () => {
    const addresses = [address(2, "fe80::1", PERMANENT, 253), address(2, "169.254.1.1", PERMANENT, 253)];
    expect(planned({ links: [eth0], addresses }).codes).toEqual(["no_uplink"]);
  });

  it("may have no address where a default route leaves by them: its next hop is on another device's network", () => {
    const { names, codes } = planned({ links: [eth0], routes: ["4:2"] });
    expect([names, codes]).toEqual([["eth0"], ["uplink_without_address"]]);
  });

  it.each([
    ["tun", 65534],
    ["WireGuard", 65534],
    ["PPP", 512],
    ["IP in IP", 768],
    ["IPv6 tunnel", 769],
    ["SIT", 776],
    ["GRE", 778],
  ])("have no Ethernet header (%s) only where they carry a default route", (_what, type) => {
    const links = [eth0, device(3, "l3", { type })];
    const addresses = [address(2, "198.18.0.5"), address(3, "10.9.0.2")];
    expect(planned({ links, addresses, routes: ["4:2"] }).names).toEqual(["eth0"]);
    for (const route of ["4:3", "6:3", "4:3:51820"]) {
      const { uplinks } = planned({ links, addresses, routes: ["4:2", route] });
      expect(uplinks.map((u) => [u.name, u.l3])).toEqual([
        ["eth0", false],
        ["l3", true],
      ]);
    }
    expect(planned({ links, addresses, routes: ["4:2"], named: ["l3"] }).names).toEqual(["l3"]);
  });

  it("are never what can't be attached to: CAN, loopback", () => {
    const links = [device(2, "can0", { type: 280 }), device(1, "lo", { type: 772, flags: UP | 0x8 })];
    const { uplinks, warnings } = planned({ links, addresses: [address(2, "198.18.0.5")], routes: ["4:2"] });
    expect(uplinks).toEqual([]);
    expect(warnings.map((w) => w.code)).toEqual(["default_route_elsewhere", "no_uplink"]);
    expect(warnings[0]?.message).toMatch(/by can0, .*neither Ethernet's nor plain IP/);
  });

  it("are a bridge, not its NIC, where the default route leaves by it", () => {
    const links = [
      device(2, "eth0", { master: 5 }),
      device(5, "br0", { kind: "bridge" }),
      device(6, "virbr0", { kind: "bridge" }),
    ];
    const addresses = [address(5, "198.18.0.5"), address(6, "192.168.122.1"), address(2, "198.18.0.6")];
    expect(planned({ links, addresses, routes: ["4:5"] }).names).toEqual(["br0"]);
    // A bridge of virtual machines, which nothing leaves by, may still be named.
    expect(planned({ links, addresses, routes: ["4:5"], named: ["virbr0", "br0"] }).names).toEqual([
      "br0",
      "virbr0",
    ]);
  });

  it("are a VLAN and a bond, not the bond's parts", () => {
    const links = [
      device(2, "eth0", { master: 4 }),
      device(3, "eth1", { master: 4 }),
      device(4, "bond0", { kind: "bond" }),
      device(5, "bond0.20", { kind: "vlan", link: 4 }),
    ];
    const addresses = [address(5, "198.18.0.5"), address(2, "198.18.0.6")];
    expect(planned({ links, addresses, routes: ["4:5"] }).names).toEqual(["bond0.20"]);
    expect(planned({ links, addresses: [...addresses, address(4, "198.18.1.5")] }).names).toEqual([
      "bond0",
      "bond0.20",
    ]);
  });

  it("are never the engine's bridges, even where a default route leaves by one", () => {
    const links = [eth0, device(5, "docker0", { kind: "bridge" }), device(6, "port", { master: 5 })];
    const world = {
      links,
      addresses: [address(2, "198.18.0.5"), address(5, "172.17.0.1"), address(6, "172.17.0.9")],
      engineBridges: ["docker0"],
    };
    expect(planned({ ...world, routes: ["4:2", "6:5"] })).toMatchObject({
      names: ["eth0"],
      codes: ["uplink_is_bridge"],
    });
    const named = planned({ ...world, named: ["docker0", "port", "eth0"] });
    expect([named.names, named.codes]).toEqual([["eth0"], ["uplink_unfit", "uplink_unfit"]]);
  });

  it("change as the devices do: gone, down, renamed, part of a bridge", () => {
    const world = { links: [eth0], addresses: [address(2, "198.18.0.5")], routes: ["4:2"], named: ["eth0"] };
    expect(planned(world)).toMatchObject({ names: ["eth0"], codes: [] });
    const gone = planned({ ...world, links: [], routes: [] });
    expect(gone).toMatchObject({ names: [], codes: ["uplink_missing", "no_uplink"] });
    expect(gone.warnings[0]?.message).toBe("uplink eth0 is gone");
    expect(planned({ ...world, links: [{ ...eth0, flags: 0 }] }).codes).toContain("uplink_missing");
    const renamed = planned({ ...world, links: [{ ...eth0, name: "wan0" }] });
    expect(renamed).toMatchObject({
      names: [],
      codes: ["uplink_missing", "default_route_elsewhere", "no_uplink"],
    });
    // Without a name to look for, the new one is as good.
    expect(planned({ ...world, links: [{ ...eth0, name: "wan0" }], named: [] }).names).toEqual(["wan0"]);
    const links = [device(2, "eth0", { master: 5 }), device(5, "br0", { kind: "bridge" })];
    expect(planned({ ...world, links, routes: ["4:5"] }).codes).toContain("uplink_unfit");
  });
});

describe("the IPv6 address to masquerade to", () => {
  const ipv6Of = (...addresses: NetAddress[]) =>
    planned({ links: [eth0], addresses: [address(2, "198.18.0.5"), ...addresses] }).uplinks[0]?.ipv6;

  it("is the one global one", () => {
    expect(ipv6Of()).toBeUndefined();
    expect(ipv6Of(address(2, "2001:DB8:0:0::5"), address(2, "fe80::5", PERMANENT, 253))).toBe("2001:db8::5");
    expect(ipv6Of(address(3, "2001:db8::5"))).toBeUndefined();
  });

  it("is none where the kernel has a choice", () => {
    expect(ipv6Of(address(2, "2001:db8::5"), address(2, "2001:db8::6"))).toBeUndefined();
    expect(ipv6Of(address(2, "2001:db8::5"), address(2, "fd00::6"))).toBeUndefined();
    // Whether temporary ones are preferred is net.ipv6.conf.*.use_tempaddr's to say.
    expect(ipv6Of(address(2, "2001:db8::5"), address(2, "2001:db8::6", TEMPORARY))).toBeUndefined();
  });

  it.each([
    ["deprecated", DEPRECATED],
    ["tentative", TENTATIVE],
    ["another's (duplicate)", DADFAILED | PERMANENT],
  ])("is none that is %s", (_what, flags) => {
    expect(ipv6Of(address(2, "2001:db8::5", flags))).toBeUndefined();
    expect(ipv6Of(address(2, "2001:db8::5"), address(2, "2001:db8::6", flags))).toBe("2001:db8::5");
  });

  it("is none that makes no sense", () => {
    for (const text of ["::", "ff02::1", "::ffff:198.18.0.1", "2001:db8::x"])
      expect(ipv6Of(address(2, text)), text).toBeUndefined();
  });
});

const route = (more: Partial<NetRoute>): NetRoute => ({
  family: 4,
  table: 254,
  type: 1,
  protocol: 3,
  scope: 0,
  destination: "0.0.0.0",
  prefixLength: 0,
  oif: 2,
  ...more,
});

describe("routeMtus", () => {
  it("are the smallest of each device's routes that have one", () => {
    const routes = [
      route({ mtu: 1400 }),
      route({ family: 6, mtu: 1300 }),
      route({ oif: 3 }),
      route({ oif: 4, mtu: 9000 }),
    ];
    expect(routeMtus(routes)).toEqual(
      new Map([
        [2, 1300],
        [4, 9000],
      ]),
    );
  });
});

describe("defaultRoutes", () => {
  it("are those to everywhere, of any table, and the halves that VPNs lay over them", () => {
    const found = defaultRoutes([
      route({ gateway: "198.18.0.1", priority: 100 }),
      route({ family: 6, destination: "::", gateway: "fe80::1", priority: 1024 }),
      route({ table: 51820, oif: 9 }),
      route({ destination: "128.0.0.0", prefixLength: 1, oif: 8 }),
      route({ family: 6, destination: "2000::", prefixLength: 3, oif: 7 }),
    ]);
    expect(found).toEqual([
      { family: 4, table: 254, oif: 2, priority: 100, gateway: "198.18.0.1" },
      { family: 6, table: 254, oif: 2, priority: 1024, gateway: "fe80::1" },
      { family: 4, table: 51820, oif: 9, priority: 0 },
      { family: 4, table: 254, oif: 8, priority: 0 },
      { family: 6, table: 254, oif: 7, priority: 0 },
    ]);
  });

  it("are no others", () => {
    const { oif: _, ...withoutDevice } = route({});
    expect(
      defaultRoutes([
        route({ destination: "10.0.0.0", prefixLength: 8 }),
        route({ destination: "64.0.0.0", prefixLength: 2 }),
        route({ family: 6, destination: "ff00::", prefixLength: 8 }),
        route({ type: 7 }),
        withoutDevice,
      ]),
    ).toEqual([]);
  });
});
