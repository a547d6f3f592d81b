import { beforeEach, expect, test } from "vitest";
import { FirewallWatch } from "../../../src/controller/firewall_watch.js";
import { closing, enterNewNamespace, eventually, run } from "../native/support.js";

/* With real rules, in network namespaces of its own. */

const engine = {
  bridges: new Set(["docker0"]),
  hostBridges: new Set<string>(),
  snatAddresses: new Set<string>(),
};
const uplinks = new Set(["eth0"]);

let calls: number[];
beforeEach(() => {
  enterNewNamespace();
  calls = [];
});

const watch = () => closing(new FirewallWatch(() => calls.push(performance.now())));
const look = (firewall: FirewallWatch) => firewall.look(engine, uplinks);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Whether it comes true before that time is over, by the same clock: a machine that stalls delays both. */
const before = (ms: number, condition: () => boolean) =>
  Promise.race([eventually(condition).then(() => true), pause(ms).then(() => false)]);

test("tells of a rule sooner than at its longest delay, and sees it", async () => {
  const firewall = watch();
  expect(await look(firewall)).toMatchObject({
    routingObstacle: { 4: undefined, 6: undefined },
    bridgingObstacle: undefined,
  });
  const rule = ["FORWARD", "-s", "198.18.0.7", "-j", "DROP"];
  run("iptables-nft", "-A", ...rule);
  expect(await before(900, () => calls.length > 0)).toBe(true);
  const seen = await look(firewall);
  expect(seen.routingObstacle[4]).toBe("filter: -A FORWARD -s 198.18.0.7/32 -j DROP");
  expect(await look(firewall)).toBe(seen);
  run("iptables-nft", "-D", ...rule);
  await eventually(() => calls.length > 1);
  const after = await look(firewall);
  expect(after.routingObstacle[4]).toBeUndefined();
  expect(after.foreignRules).not.toBe(seen.foreignRules);
});

test("tells of a rule that comes right after another as soon", async () => {
  const firewall = watch();
  const rule = (source: string) => run("iptables-nft", "-A", "FORWARD", "-s", source, "-j", "DROP");
  for (const [index, source] of ["198.18.0.7", "198.18.0.8", "198.18.0.9"].entries()) {
    rule(source);
    // Reading takes its time on a busy machine, but the wait after it is over within a second of when it began.
    expect(await before(1400, () => calls.length > index)).toBe(true);
    await look(firewall);
  }
});

test("judges IPv4 and IPv6 apart, by each one's own rules", async () => {
  const firewall = watch();
  run("ip6tables-nft", "-A", "FORWARD", "-s", "2001:db8::7", "-j", "DROP");
  run("ip6tables-nft", "-t", "nat", "-N", "DOCKER");
  const jump = ["PREROUTING", "-m", "addrtype", "--dst-type", "LOCAL", "-j", "DOCKER"];
  run("ip6tables-nft", "-t", "nat", "-A", ...jump);
  expect(await look(firewall)).toMatchObject({
    routingObstacle: { 4: undefined, 6: "filter: -A FORWARD -s 2001:db8::7/128 -j DROP" },
    engineNat: { 4: false, 6: true },
  });
  run(
    "nft",
    "add table inet mine; add chain inet mine c { type filter hook forward priority 0; policy drop; }",
  );
  firewall.forget();
  const mine = "nftables: table inet mine, chain c";
  expect((await look(firewall)).routingObstacle).toEqual({ 4: mine, 6: mine });
});

test("knows the last rules of a network that the engine lists no more for its own", async () => {
  const firewall = watch();
  const rules = [
    ["-s", "198.18.5.0/24", "!", "-o", "named", "-j", "MASQUERADE"],
    ["-s", "198.18.6.0/24", "!", "-o", "sourced", "-j", "SNAT", "--to-source", "198.18.2.2"],
  ];
  const listed = {
    ...engine,
    bridges: new Set([...engine.bridges, "named", "sourced"]),
    snatAddresses: new Set(["198.18.2.2"]),
  };
  for (const rule of rules) run("iptables-nft", "-t", "nat", "-A", "POSTROUTING", ...rule);
  const own = { routingObstacle: { 4: undefined } };
  expect(await firewall.look(listed, uplinks)).toMatchObject(own);
  firewall.forget();
  expect(await look(firewall)).toMatchObject(own);
  // Of a bridge that never was the engine's they are the user's.
  expect((await look(watch())).routingObstacle[4]).toContain("! -o named");
});

test("looks at the kernel's old tables of IPv6 as well", async () => {
  const firewall = closing(new FirewallWatch(() => calls.push(performance.now()), 300));
  run("ip6tables-legacy", "-A", "FORWARD", "-s", "2001:db8::7", "-j", "DROP");
  await eventually(() => calls.length > 0);
  expect((await look(firewall)).routingObstacle).toEqual({
    4: undefined,
    6: "filter: -A FORWARD -s 2001:db8::7/128 -j DROP",
  });
});

test("tells of many changes a few times a second, during them and after the last", async () => {
  const firewall = watch();
  await look(firewall);
  const begin = performance.now();
  run("nft", "add", "table", "inet", "fwn");
  for (let i = 0; i < 60; i++) {
    run("nft", "add", "chain", "inet", "fwn", `c${i}`);
    // What the daemon does when it is told.
    if (calls.length > 0) await look(firewall);
    await pause(40);
  }
  const end = performance.now();
  const seconds = (end - begin) / 1000;
  expect(calls.length).toBeGreaterThanOrEqual(Math.floor(seconds) - 1);
  expect(calls.length).toBeLessThanOrEqual(5 * Math.ceil(seconds));
  // By now all of those before are told.
  await pause(1500);
  const during = calls.length;
  run("nft", "add", "chain", "inet", "fwn", "last");
  expect(await before(2000, () => calls.length > during)).toBe(true);
  await pause(1300);
  expect(calls.length).toBe(during + 1);
});

test("reads anew when it is judged by other devices, and when it is told to forget", async () => {
  const firewall = watch();
  run("iptables-nft", "-A", "FORWARD", "-i", "eth7", "-j", "DROP");
  const first = await look(firewall);
  expect(first.routingObstacle[4]).toBeUndefined();
  const other = await firewall.look(engine, new Set(["eth7"]));
  expect(other.routingObstacle[4]).toBe("filter: -A FORWARD -i eth7 -j DROP");
  expect(other.foreignRules).not.toBe(first.foreignRules);
  firewall.forget();
  expect(await firewall.look(engine, new Set(["eth7"]))).toEqual(other);
});

test("takes a table that it can't read for the user's", async () => {
  const firewall = watch();
  run("nft", "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; }");
  run("nft", "add rule ip filter FORWARD meta mark 7 ct count over 3 drop");
  expect((await look(firewall)).routingObstacle[4]).toMatch(/filter/);
});

test("looks at the kernel's old tables again and again, where they are in use", async () => {
  const firewall = closing(new FirewallWatch(() => calls.push(performance.now()), 300));
  await look(firewall);
  await pause(1300);
  expect(calls).toEqual([]);
  run("iptables-legacy", "-A", "FORWARD", "-s", "198.18.0.7", "-j", "DROP");
  await eventually(() => calls.length > 0);
  expect((await look(firewall)).routingObstacle[4]).toBe("filter: -A FORWARD -s 198.18.0.7/32 -j DROP");
});
