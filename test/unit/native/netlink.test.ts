import { existsSync, rmSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import {
  enterNetworkNamespace,
  findRoute,
  firewallGeneration,
  listAddresses,
  listLinks,
  listNeighbours,
  listRoutes,
  type NetLink,
  netnsId,
} from "../../../src/native/index.js";
import { enterNewNamespace, ifindexOf, nativeError, newNamespace, run } from "./support.js";

let here: string;
beforeEach(() => {
  here = enterNewNamespace();
});

/** What `ip -j -d` says, to compare with. */
function ip<T>(...args: string[]): T[] {
  return JSON.parse(run("ip", "-j", "-d", ...args)) as T[];
}

function link(name: string): NetLink | undefined {
  return listLinks().find((one) => one.name === name);
}

interface IpLink {
  ifindex: number;
  ifname: string;
  mtu: number;
  address: string;
  linkinfo?: { info_kind?: string };
}

describe("links", () => {
  test("are what ip says", () => {
    run("ip", "link", "add", "br0", "type", "bridge");
    run("ip", "link", "add", "fwn0", "mtu", "1400", "type", "veth", "peer", "name", "fwn1");
    run("ip", "link", "set", "fwn0", "master", "br0", "up");
    const expected = ip<IpLink>("link", "show").map((one) => ({
      ifindex: one.ifindex,
      name: one.ifname,
      mtu: one.mtu,
      mac: one.address,
      kind: one.linkinfo?.info_kind,
    }));
    const actual = listLinks().map(({ ifindex, name, mtu, mac, kind }) => ({
      ifindex,
      name,
      mtu,
      mac,
      kind,
    }));
    expect(actual).toEqual(expected);
    expect(link("fwn0")).toMatchObject({ kind: "veth", type: 1, mtu: 1400, link: ifindexOf("fwn1") });
    expect(link("fwn0")?.master).toBe(ifindexOf("br0"));
    expect(link("fwn0")?.linkNetnsid).toBeUndefined();
    expect((link("fwn0")?.flags ?? 0) & 1).toBe(1);
    expect((link("fwn1")?.flags ?? 1) & 1).toBe(0);
    expect(link("lo")).toMatchObject({ ifindex: 1, type: 772 });
    expect(Object.keys(link("lo") ?? {})).not.toContain("kind");
  });

  test("of a peer in another namespace name it by its id", () => {
    const there = newNamespace();
    run("ip", "link", "add", "fwn0", "type", "veth", "peer", "name", "fwn1", "netns", there);
    const peer = JSON.parse(run("ip", "-j", "-n", there, "link", "show", "fwn1")) as { ifindex: number }[];
    expect(link("fwn0")).toMatchObject({ link: peer[0]?.ifindex, linkNetnsid: 0 });
    expect(netnsId(`/run/netns/${there}`)).toBe(0);
  });

  test("are all there when there are many", () => {
    const names = Array.from({ length: 300 }, (_, i) => `link add v${i} type veth peer name w${i}`);
    writeFileSync(`/tmp/${here}.batch`, names.join("\n"));
    run("ip", "-batch", `/tmp/${here}.batch`);
    rmSync(`/tmp/${here}.batch`);
    const links = listLinks();
    expect(links.length).toBe(ip("link", "show").length);
    expect(new Set(links.map((one) => one.ifindex)).size).toBe(links.length);
    expect(links.length).toBeGreaterThan(600);
  });
});

describe("addresses", () => {
  test("are what ip says, with secondary and point-to-point ones", () => {
    run("ip", "link", "add", "fwn0", "type", "veth", "peer", "name", "fwn1");
    for (const device of ["fwn0", "fwn1"]) run("ip", "link", "set", device, "up");
    run("ip", "address", "add", "198.18.0.1/24", "dev", "fwn0", "label", "fwn0:a");
    run("ip", "address", "add", "198.18.0.2/24", "dev", "fwn0");
    run("ip", "address", "add", "198.18.1.1", "peer", "198.18.1.9/32", "dev", "fwn0");
    run("ip", "-6", "address", "add", "2001:db8::1/64", "dev", "fwn0", "nodad");
    const ours = listAddresses().filter((one) => one.ifindex === ifindexOf("fwn0"));
    const expected = ip<{
      addr_info: { local: string; prefixlen: number; family: string; label?: string }[];
    }>("address", "show", "fwn0")[0]?.addr_info.map((one) => ({
      family: one.family === "inet" ? 4 : 6,
      address: one.local,
      prefixLength: one.prefixlen,
      label: one.label,
    }));
    const seen = ours.map(({ family, address, prefixLength, label }) => ({
      family,
      address,
      prefixLength,
      label,
    }));
    const byAddress = (a: { address: string }, b: { address: string }) => (a.address < b.address ? -1 : 1);
    expect(seen.sort(byAddress)).toEqual(expected?.sort(byAddress));
    const of = (address: string) => ours.find((one) => one.address === address);
    expect(of("198.18.0.1")).toMatchObject({ label: "fwn0:a", scope: 0, flags: 0x80 });
    expect((of("198.18.0.2")?.flags ?? 0) & 1).toBe(1);
    expect(of("198.18.1.1")?.prefixLength).toBe(32);
    expect(of("2001:db8::1")).toMatchObject({ family: 6, prefixLength: 64 });
    expect(listAddresses().find((one) => one.address === "127.0.0.1")).toMatchObject({
      ifindex: 1,
      scope: 254,
    });
  });
});

describe("routes", () => {
  test("have every hop, gateway, source and table", () => {
    run("ip", "link", "add", "fwn0", "type", "veth", "peer", "name", "fwn1");
    for (const device of ["fwn0", "fwn1"]) run("ip", "link", "set", device, "up");
    run("ip", "address", "add", "198.18.0.1/24", "dev", "fwn0");
    run("ip", "-6", "address", "add", "2001:db8::1/64", "dev", "fwn0", "nodad");
    run("ip", "route", "add", "default", "via", "198.18.0.254", "metric", "50");
    run("ip", "route", "add", "198.19.0.0/16", "dev", "fwn0", "src", "198.18.0.1", "table", "1000");
    run("ip", "route", "add", "198.19.5.0/24", "dev", "fwn0", "mtu", "1300");
    const hops = ["nexthop", "via", "198.18.0.7", "nexthop", "via", "198.18.0.8"];
    run("ip", "route", "add", "198.19.7.0/24", ...hops);
    run("ip", "route", "add", "198.19.8.0/24", "via", "inet6", "2001:db8::9", "dev", "fwn0");
    run("ip", "route", "add", "unreachable", "198.19.9.0/24");
    run("ip", "-6", "route", "add", "default", "via", "2001:db8::fe");
    const routes = listRoutes();
    const oif = ifindexOf("fwn0");
    const to = (destination: string, prefixLength: number) =>
      routes.filter((one) => one.destination === destination && one.prefixLength === prefixLength);
    expect(to("0.0.0.0", 0)).toEqual([
      {
        family: 4,
        table: 254,
        type: 1,
        protocol: 3,
        scope: 0,
        destination: "0.0.0.0",
        prefixLength: 0,
        gateway: "198.18.0.254",
        oif,
        priority: 50,
      },
    ]);
    expect(to("198.19.0.0", 16)).toMatchObject([{ table: 1000, prefsrc: "198.18.0.1", scope: 253, oif }]);
    expect(to("198.19.5.0", 24)).toMatchObject([{ oif, mtu: 1300 }]);
    expect(to("198.19.7.0", 24)).toMatchObject([
      { gateway: "198.18.0.7", oif },
      { gateway: "198.18.0.8", oif },
    ]);
    expect(to("198.19.8.0", 24)).toMatchObject([{ family: 4, gateway: "2001:db8::9", oif }]);
    expect(to("198.19.9.0", 24)).toMatchObject([{ type: 7 }]);
    expect(to("::", 0)).toMatchObject([{ family: 6, gateway: "2001:db8::fe", oif }]);
    expect(to("198.18.0.1", 32)).toMatchObject([{ table: 255, type: 2 }]);
    // Of each family up to a length, and those with an MTU of their own.
    for (const longest of [
      { 4: 0, 6: 3 },
      { 4: 16, 6: 64 },
      { 4: 31, 6: 0 },
    ])
      expect(listRoutes(longest)).toEqual(
        routes.filter(
          ({ family, prefixLength, mtu }) => prefixLength <= longest[family] || mtu !== undefined,
        ),
      );
    expect(listRoutes({ 4: 0, 6: 0 }).map(({ destination }) => destination)).toEqual([
      "0.0.0.0",
      "198.19.5.0",
      "::",
    ]);
  });
});

describe("the route to an address", () => {
  const finds = () => {
    run("ip", "link", "add", "fwn0", "type", "veth", "peer", "name", "fwn1");
    for (const device of ["fwn0", "fwn1"]) run("ip", "link", "set", device, "up");
    run("ip", "address", "add", "198.18.0.1/24", "dev", "fwn0");
    run("ip", "-6", "address", "add", "2001:db8::1/64", "dev", "fwn0", "nodad");
    run("ip", "route", "add", "198.19.0.0/16", "via", "198.18.0.254");
    run("ip", "route", "add", "blackhole", "198.19.9.0/24");
    return ifindexOf("fwn0");
  };

  test("is the most exact one, with gateway and source", () => {
    const oif = finds();
    expect(findRoute("198.19.1.2")).toMatchObject({
      destination: "198.19.1.2",
      type: 1,
      oif,
      gateway: "198.18.0.254",
      prefsrc: "198.18.0.1",
    });
    expect(findRoute("198.18.0.7")).toMatchObject({ oif, prefsrc: "198.18.0.1" });
    expect(findRoute("198.18.0.7")?.gateway).toBeUndefined();
    expect(findRoute("2001:db8::7")).toMatchObject({ family: 6, type: 1, oif, prefsrc: "2001:db8::1" });
    expect(findRoute("198.18.0.1")).toMatchObject({ type: 2 });
  });

  test("may be missing, or a blackhole, or asked for with no address", () => {
    finds();
    expect(findRoute("203.0.113.1")).toBeUndefined();
    expect(findRoute("2001:db8:1::1")).toBeUndefined();
    for (const wrong of ["198.19.9.1", "nobody", ""])
      expect(() => findRoute(wrong)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });
});

test("neighbours of both families", () => {
  run("ip", "link", "add", "fwn0", "type", "veth", "peer", "name", "fwn1");
  run("ip", "link", "set", "fwn0", "up");
  const mac = "02:00:00:00:00:07";
  const ifindex = ifindexOf("fwn0");
  run("ip", "neighbour", "add", "198.18.0.7", "lladdr", mac, "dev", "fwn0", "nud", "permanent");
  run("ip", "neighbour", "add", "2001:db8::7", "lladdr", mac, "dev", "fwn0", "nud", "stale");
  const neighbours = listNeighbours();
  expect(neighbours).toContainEqual({ ifindex, family: 4, address: "198.18.0.7", mac, state: 0x80 });
  expect(neighbours).toContainEqual({ ifindex, family: 6, address: "2001:db8::7", mac, state: 4 });
});

describe("ids of namespaces", () => {
  test("undefined until one is assigned", () => {
    const there = newNamespace();
    expect(netnsId(`/run/netns/${there}`)).toBeUndefined();
    run("ip", "netns", "set", there, "42");
    expect(netnsId(`/run/netns/${there}`)).toBe(42);
  });

  test("undefined where there is no namespace (any more)", () => {
    const path = `/tmp/${here}-plain`;
    expect(netnsId(path)).toBeUndefined();
    expect(netnsId(`${path}/below`)).toBeUndefined();
    writeFileSync(path, "");
    expect(netnsId(path)).toBeUndefined();
    expect(netnsId(`${path}/below`)).toBeUndefined();
    rmSync(path);
  });

  test("are refused for a namespace of another kind", () => {
    expect(nativeError(() => netnsId("/proc/self/ns/mnt"))).toMatchObject({
      code: "EINVAL",
      operation: "read id of namespace",
      object: "/proc/self/ns/mnt",
    });
  });
});

test("no file descriptor is left open", () => {
  const open = () => Number(run("bash", "-c", `ls /proc/${process.pid}/fd | wc -l`));
  const before = open();
  const rounds = 50;
  for (let i = 0; i < rounds; i++) {
    listLinks();
    listRoutes();
    netnsId(`/run/netns/${here}`);
    nativeError(() => netnsId("/proc/self/ns/mnt"));
  }
  // One left by any of the calls would be one in every round; the test runner opens and closes some of its own meanwhile.
  expect(open() - before).toBeLessThan(rounds);
});

test("entering what is no namespace fails and changes nothing", () => {
  expect(nativeError(() => enterNetworkNamespace("/tmp")).operation).toBe("enter namespace");
  expect(existsSync("/nonexistent")).toBe(false);
  expect(nativeError(() => enterNetworkNamespace("/nonexistent")).code).toBe("ENOENT");
  expect(listLinks().map((one) => one.name)).toEqual(["lo", "ifb0", "ifb1"].filter((name) => link(name)));
});

describe("nftables' generation", () => {
  test("counts transactions that have changed something", () => {
    const first = firewallGeneration();
    run("nft", "add", "table", "inet", "mine");
    expect(firewallGeneration()).toBe(first + 1);
    run("nft", "list", "tables");
    expect(firewallGeneration()).toBe(first + 1);
    run("nft", "delete", "table", "inet", "mine");
    expect(firewallGeneration()).toBe(first + 2);
  });
});
