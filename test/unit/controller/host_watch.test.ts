import { beforeEach, expect, test } from "vitest";
import { HostWatch } from "../../../src/controller/host_watch.js";
import { hostState } from "../../../src/host/snapshot.js";
import { perFamily } from "../../../src/ip.js";
import { planOf } from "../datapath/scene.js";
import { closing, enterNewNamespace, eventually, ifindexOf, run } from "../native/support.js";

/* With real devices, in network namespaces of its own. */

let changed: number;
let voided: string[];
beforeEach(() => {
  enterNewNamespace();
  changed = 0;
  voided = [];
});

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** An uplink eth0 with both families, a tunnel, and a watch that knows them. */
async function watched(): Promise<void> {
  run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer0");
  run("ip", "tuntap", "add", "tun0", "mode", "tun");
  run("ip", "address", "add", "198.18.0.5/24", "dev", "eth0");
  run(
    "ip",
    "address",
    "add",
    "2001:db8::5/64",
    "dev",
    "eth0",
    "nodad",
    "noprefixroute",
    "valid_lft",
    "1000",
    "preferred_lft",
    "900",
  );
  // Without link-local addresses: each tells of itself again once nobody else was found to have it, seconds later.
  for (const device of ["eth0", "peer0", "tun0"]) {
    run("ip", "link", "set", device, "addrgenmode", "none");
    run("ip", "link", "set", device, "up");
  }
  run("ip", "route", "add", "default", "via", "198.18.0.1");
  const watch = closing(
    new HostWatch({
      gone: () => undefined,
      changed: () => void changed++,
      voided: (why) => voided.push(why),
    }),
  );
  const uplink = {
    ifindex: ifindexOf("eth0"),
    name: "eth0",
    mtu: 1500,
    l3: false,
    addresses: [],
    ipv6: undefined,
  };
  const host = {
    ...hostState([]),
    routingObstacle: { 4: undefined, 6: undefined },
    bridgingObstacle: undefined,
    engineNat: { 4: true, 6: true },
    dials: perFamily(() => ({ obstacle: undefined, translated: "none" as const, masqueraded: new Map() })),
    foreignRules: "",
  };
  watch.know(host, planOf([], { uplinks: [uplink] }), new Set());
  // Devices that just came up go on telling of it.
  let told: number;
  do {
    told = changed + voided.length;
    await pause(500);
  } while (changed + voided.length > told);
  changed = 0;
  voided = [];
}

test("a default route is a change of the plan, at whatever device: it makes that an uplink", async () => {
  await watched();
  for (const route of [
    ["route", "add", "default", "dev", "tun0", "metric", "5"],
    ["-6", "route", "add", "default", "dev", "tun0", "metric", "5"],
    ["route", "add", "128.0.0.0/1", "dev", "tun0"],
  ]) {
    [changed, voided] = [0, []];
    run("ip", ...route);
    await eventually(() => changed > 0 && voided.length > 0);
    expect(voided).toEqual(["route new tun0"]);
  }
});

test("another route changes ways, not the plan", async () => {
  await watched();
  run("ip", "route", "add", "198.19.0.0/24", "via", "198.18.0.9");
  run("ip", "-6", "route", "add", "2001:db8:9::/64", "dev", "eth0");
  await eventually(() => voided.length === 1);
  await pause(200);
  expect([changed, voided.length]).toEqual([0, 1]);
});

test("an address that is renewed changes nothing, one that comes, goes or is deprecated does", async () => {
  await watched();
  // As a router's advertisement does it, which leaves the prefix's route alone; with its lifetime the kernel tells of that.
  const lifetimes = ["noprefixroute", "valid_lft", "2000", "preferred_lft"];
  const renew = ["address", "change", "2001:db8::5/64", "dev", "eth0", ...lifetimes];
  run("ip", ...renew, "1900");
  await eventually(() => changed > 0);
  await pause(300);
  expect(voided).toEqual([]);

  run("ip", ...renew, "0");
  await eventually(() => voided.length === 1);
  run("ip", "address", "add", "2001:db8::6/64", "dev", "eth0", "nodad");
  await eventually(() => voided.length === 2);
  run("ip", "address", "delete", "198.18.0.5/24", "dev", "eth0");
  await eventually(() => voided.length >= 3);
});

test("a device that is renamed, made or removed is a change of the plan", async () => {
  await watched();
  run("ip", "link", "set", "tun0", "down");
  await eventually(() => changed > 0);
  changed = 0;
  run("ip", "link", "set", "tun0", "name", "wan0");
  await eventually(() => changed > 0);
  changed = 0;
  run("ip", "link", "add", "br0", "type", "bridge");
  await eventually(() => changed > 0);
  changed = 0;
  run("ip", "link", "delete", "eth0");
  await eventually(() => changed > 0 && voided.length > 0);
});
