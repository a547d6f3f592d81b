import { beforeEach, expect, test } from "vitest";
import { type NetEvent, type NetGroup, NetMonitor } from "../../../src/native/index.js";
import {
  closing,
  enterNewNamespace,
  eventually,
  ifindexOf,
  nativeError,
  newNamespace,
  run,
} from "./support.js";

let events: NetEvent[];
let arrays: number;
let lost: number;
beforeEach(() => {
  enterNewNamespace();
  events = [];
  arrays = 0;
  lost = 0;
});

function monitor(...groups: NetGroup[]): NetMonitor {
  const onEvents = (some: NetEvent[]): void => {
    events.push(...some);
    arrays++;
  };
  return closing(new NetMonitor(groups, onEvents, () => void lost++));
}

function has(expected: Partial<NetEvent>): boolean {
  const { kind, action, ifindex } = expected;
  return events.some(
    (one) => one.kind === kind && one.action === action && (ifindex === undefined || one.ifindex === ifindex),
  );
}

test("tells of a device's life, with the device", async () => {
  monitor("link");
  run("ip", "link", "add", "br0", "type", "bridge");
  run("ip", "link", "add", "fwn0", "type", "veth", "peer", "name", "fwn1");
  const ifindex = ifindexOf("fwn0");
  const master = ifindexOf("br0");
  await eventually(() => has({ kind: "link", action: "new", ifindex }));
  expect(events.find((one) => one.ifindex === ifindex)?.link).toMatchObject({
    name: "fwn0",
    kind: "veth",
    ifindex,
    link: ifindexOf("fwn1"),
  });
  run("ip", "link", "set", "fwn0", "master", "br0");
  await eventually(() => events.some((one) => one.ifindex === ifindex && one.link?.master === master));
  // Leaving a bridge is told as a DELLINK of the bridge's family, too: the device is still there.
  events = [];
  run("ip", "link", "set", "fwn0", "nomaster");
  await eventually(() => has({ kind: "link", action: "new", ifindex }));
  expect(has({ kind: "link", action: "del", ifindex })).toBe(false);
  expect(events.at(-1)?.link?.master).toBeUndefined();
  run("ip", "link", "delete", "fwn0");
  await eventually(() => has({ kind: "link", action: "del", ifindex }));
  expect(lost).toBe(0);
});

test("tells of addresses, routes, neighbours and rules, and only of what was asked for", async () => {
  monitor("address", "route", "neighbour", "rule");
  run("ip", "link", "add", "fwn0", "type", "veth", "peer", "name", "fwn1");
  run("ip", "link", "set", "fwn0", "up");
  const ifindex = ifindexOf("fwn0");
  run("ip", "address", "add", "198.18.0.1/24", "dev", "fwn0");
  run("ip", "route", "add", "198.19.0.0/24", "dev", "lo");
  run("ip", "neighbour", "add", "198.18.0.9", "lladdr", "02:00:00:00:00:09", "dev", "fwn0");
  run("ip", "rule", "add", "to", "198.19.0.0/16", "table", "100");
  run("ip", "address", "delete", "198.18.0.1/24", "dev", "fwn0");
  run("ip", "route", "delete", "198.19.0.0/24", "dev", "lo");
  run("ip", "rule", "delete", "to", "198.19.0.0/16", "table", "100");
  await eventually(() => has({ kind: "rule", action: "del" }));
  expect(has({ kind: "address", action: "new", ifindex })).toBe(true);
  expect(has({ kind: "address", action: "del", ifindex })).toBe(true);
  expect(has({ kind: "route", action: "new", ifindex: 1, prefixLength: 24 })).toBe(true);
  expect(has({ kind: "route", action: "del", ifindex: 1, prefixLength: 24 })).toBe(true);
  expect(has({ kind: "neighbour", action: "new", ifindex })).toBe(true);
  expect(has({ kind: "rule", action: "new" })).toBe(true);
  expect(events.some((one) => one.kind === "link")).toBe(false);
});

/** Changes the MTU of lo n times; each change is a notification. */
function flood(n: number): void {
  run("bash", "-c", `for i in $(seq ${n}); do echo "link set lo mtu $((30000 + i))"; done | ip -batch -`);
}

test("gathers what comes while nobody listens into few arrays", async () => {
  monitor("link");
  flood(200);
  await eventually(() => events.at(-1)?.link?.mtu === 30200);
  expect(events.length).toBeGreaterThanOrEqual(200);
  expect(arrays).toBeLessThan(20);
  expect(lost).toBe(0);
});

test("says so when the kernel had to drop some, and goes on", async () => {
  monitor("link");
  // 8 MiB of receive buffer, doubled by the kernel, hold some 7000 notifications of 2304 bytes.
  flood(20_000);
  await eventually(() => lost > 0);
  flood(1);
  await eventually(() => events.at(-1)?.link?.mtu === 30001);
  expect(lost).toBe(1);
});

test("is silent after close, also from within a callback", async () => {
  let calls = 0;
  const first = new NetMonitor(
    ["link"],
    () => {
      calls++;
      first.close();
    },
    () => {},
  );
  flood(3);
  await eventually(() => calls === 1);
  first.close();
  flood(3);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(calls).toBe(1);
});

test("tells of every transaction of nftables, by whatever tool, and of nothing else", async () => {
  monitor("firewall");
  const said = () => events.length;
  run("nft", "add", "table", "inet", "fwn");
  await eventually(() => said() === 1);
  run("nft", "add chain inet fwn f { type filter hook forward priority 0; }; add rule inet fwn f drop");
  await eventually(() => said() === 2);
  run("nft", "list", "ruleset");
  run("ip", "link", "set", "lo", "mtu", "30000");
  run("iptables-nft", "-A", "FORWARD", "-j", "DROP");
  await eventually(() => said() > 2);
  expect(events).toEqual(events.map(() => ({ kind: "firewall", action: "new" })));
  const before = said();
  run("iptables-nft", "-D", "FORWARD", "-j", "DROP");
  await eventually(() => said() === before + 1);
  run("nft", "list", "ruleset");
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(said()).toBe(before + 1);
  expect(lost).toBe(0);
});

test("does not hear of another namespace's firewall", async () => {
  const there = newNamespace();
  monitor("firewall");
  run("ip", "netns", "exec", there, "nft", "add", "table", "inet", "there");
  run("nft", "add", "table", "inet", "here");
  await eventually(() => events.length > 0);
  expect(events).toEqual([{ kind: "firewall", action: "new" }]);
});

test.each([[["firewall", "link"]], [["link", "firewall"]]] as [NetGroup[]][])(
  "refuses to combine %s",
  (groups) => {
    expect(
      nativeError(
        () =>
          new NetMonitor(
            groups,
            () => {},
            () => {},
          ),
      ),
    ).toMatchObject({ code: "EINVAL", object: groups[1] });
  },
);

test("refuses a group that it doesn't know", () => {
  const wrong = "weather" as unknown as NetGroup;
  expect(
    nativeError(
      () =>
        new NetMonitor(
          [wrong],
          () => {},
          () => {},
        ),
    ),
  ).toMatchObject({
    code: "EINVAL",
    operation: "monitor network",
    object: "weather",
  });
});
