import { beforeEach, expect, test } from "vitest";
import { HostLists } from "../../../src/host/host_lists.js";
import { listAddresses, listLinks, NetMonitor } from "../../../src/native/index.js";
import { closing, enterNewNamespace, run } from "../native/support.js";

/* With real devices, in network namespaces of its own. */

let lists: HostLists;
let monitor: NetMonitor;
beforeEach(() => {
  enterNewNamespace();
  lists = new HostLists();
  monitor = closing(
    new NetMonitor(
      ["link", "address", "route"],
      (events) => lists.note(events),
      () => lists.forget(),
    ),
  );
});

/** What it has after the kernel's word was passed on. */
function look(keys: string[] = []) {
  monitor.poll();
  return lists.look(new Set(keys));
}

const byIndex = <T extends { ifindex: number }>(list: T[]) => [...list].sort((a, b) => a.ifindex - b.ifindex);

/** As fresh lists have it. */
function expectCurrent() {
  const { links, addresses } = look();
  expect(byIndex(links)).toEqual(byIndex(listLinks()));
  expect(addresses).toEqual(listAddresses());
}

test("gives the same lists as long as nothing changes, and what has changed when it has", () => {
  run("ip", "link", "add", "fwh0", "type", "veth", "peer", "name", "fwh1");
  const before = look();
  expect(look()).toEqual(before);
  for (const name of ["links", "addresses", "defaultRoutes", "routeMtus", "nsids"] as const)
    expect(look()[name], name).toBe(before[name]);
  run("ip", "link", "set", "fwh0", "mtu", "1400");
  expect(look().links.find(({ name }) => name === "fwh0")?.mtu).toBe(1400);
  expectCurrent();
  run("ip", "link", "add", "fwb", "type", "bridge");
  run("ip", "link", "set", "fwh0", "master", "fwb");
  // Of a port's mode the kernel tells the bridge's listeners only.
  run("bridge", "link", "set", "dev", "fwh0", "hairpin", "on");
  expect(look().links.find(({ name }) => name === "fwh0")).toMatchObject({ hairpin: true });
  expectCurrent();
  run("ip", "link", "del", "fwh0");
  expectCurrent();
});

test("gives the same lists after everything was listed anew, where nothing has changed", () => {
  run("ip", "link", "add", "fwh0", "type", "veth", "peer", "name", "fwh1");
  run("ip", "addr", "add", "198.18.7.1/24", "dev", "fwh0");
  run("ip", "link", "set", "fwh0", "up");
  run("ip", "link", "set", "fwh1", "up");
  run("ip", "route", "add", "default", "via", "198.18.7.2");
  const before = look();
  const names = ["links", "addresses", "defaultRoutes", "routeMtus"] as const;
  lists.forget();
  for (const name of names) expect(look()[name], name).toBe(before[name]);
  run("ip", "link", "set", "fwh1", "mtu", "1400");
  lists.forget();
  const { links } = look();
  expect(links).not.toBe(before.links);
  for (const link of links) expect(before.links.includes(link), link.name).toBe(link.name !== "fwh1");
  expectCurrent();
  // There and gone again: the list is that of before, to its order.
  run("ip", "link", "add", "fwh2", "type", "bridge");
  expect(look().links).toHaveLength(links.length + 1);
  run("ip", "link", "del", "fwh2");
  expect(look().links).toEqual(links);
  expectCurrent();
});

test("lists all when many have changed", () => {
  const names = Array.from({ length: 100 }, (_, i) => `fwm${i}`);
  look();
  for (const name of names) run("ip", "link", "add", name, "type", "bridge");
  expect(look().links.length).toBeGreaterThan(names.length);
  expectCurrent();
});

test("knows of routes that a device takes with it, which the kernel does not tell of", () => {
  run("ip", "link", "add", "fwh0", "type", "veth", "peer", "name", "fwh1");
  for (const device of ["fwh0", "fwh1"]) run("ip", "link", "set", device, "up");
  run("ip", "address", "add", "198.18.0.1/24", "dev", "fwh0");
  run("ip", "route", "add", "default", "via", "198.18.0.9", "mtu", "1300");
  expect(look()).toMatchObject({ defaultRoutes: [{ family: 4, gateway: "198.18.0.9" }] });
  expect([...look().routeMtus.values()]).toEqual([1300]);
  run("ip", "link", "set", "fwh0", "down");
  expect(look().defaultRoutes).toEqual([]);
  expect(look().routeMtus.size).toBe(0);
});

test("asks for a namespace's id until it has one, and anew when a device has gone", () => {
  const there = `fwh-${process.pid}`;
  run("ip", "netns", "add", there);
  const key = `/run/netns/${there}`;
  expect(look([key, ""]).nsids.size).toBe(0);
  run("ip", "link", "add", "fwh0", "type", "veth", "peer", "name", "fwh1", "netns", there);
  const known = look([key]).nsids;
  expect([...known.keys()]).toEqual([key]);
  expect(look([key]).nsids).toBe(known);
  expect(look([]).nsids.size).toBe(0);
  look([key]);
  // A device that has no part in it changes nothing.
  run("ip", "link", "add", "fwo0", "type", "veth", "peer", "name", "fwo1");
  const still = look([key]).nsids;
  run("ip", "link", "del", "fwo0");
  expect(look([key]).nsids).toBe(still);
  // The next namespace may get the id of one that is gone.
  run("ip", "link", "del", "fwh0");
  run("ip", "netns", "del", there);
  expect(look([key]).nsids.size).toBe(0);
});
