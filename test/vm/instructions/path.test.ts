/**
 * What a datagram of a container on ipvlan costs in instructions on all of its way, from its send() until the parent's device has it: with
 * no program at the parent, with one that does no more than a lookup by longest prefix (bench/parent-cost), and with ours. Run by
 * ../parent-instructions.test.ts in a machine whose clock counts instructions. The parent is a dummy device: what a NIC's driver would
 * take is in none of the figures.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { FAMILIES, type Family } from "../../../src/ip.js";
import { type BpfProgram, listLinks } from "../../../src/native/index.js";
import { useDatapath } from "../../bpf/lib/datapath.js";
import { ip, mac } from "../../bpf/lib/host.js";
import { attach } from "../../bpf/lib/live.js";
import { childSlot, OnParent } from "../../bpf/lib/parent.js";
import { Baseline, most } from "../../bpf/lib/parent-cost.js";
import { root } from "../../lab/lib/paths.js";

/** Behind the parent, by a router that is its neighbour. */
const far = { 4: "203.0.113.9", 6: "2001:db8:113::9" } as const;
const router = { 4: "198.18.20.254", 6: "2001:db8:20::fe" } as const;
const own = { 4: "198.18.20.1", 6: "2001:db8:20::1" } as const;
const bits = { 4: [24, 32], 6: [64, 128] } as const;

const datapath = useDatapath();
const found: Record<string, number> = {};
let baseline: Baseline;
let holder: ChildProcess;
let parent = 0;

const inside = (...words: string[]) =>
  execFileSync("nsenter", ["-t", String(holder.pid), "-n", ...words], { encoding: "utf8" });

beforeAll(async () => {
  baseline = new Baseline();
  holder = spawn("unshare", ["-n", "cat"], { stdio: ["pipe", "ignore", "ignore"] });
  const ours = readlinkSync("/proc/self/ns/net");
  await vi.waitFor(
    () => {
      if (readlinkSync(`/proc/${holder.pid}/ns/net`) === ours) throw new Error("no network namespace yet");
    },
    { timeout: 30_000 },
  );
  ip("link add path0 address 02:00:00:00:20:01 type dummy");
  ip("link set path0 arp on up");
  ip("link add link path0 name pathc0 type ipvlan mode l3");
  ip(`link set pathc0 netns ${holder.pid}`);
  inside("ip", "link", "set", "pathc0", "up");
  const child = { 4: new OnParent(datapath, 4).child.one, 6: new OnParent(datapath, 6).child.one };
  for (const family of FAMILIES) {
    const [link, host] = bits[family];
    const nodad = family === 6 ? " nodad" : "";
    ip(`addr add ${own[family]}/${link} dev path0${nodad}`);
    ip(`neigh add ${router[family]} lladdr ${mac.outside} dev path0`);
    ip(`route add ${far[family]}/${host} via ${router[family]} dev path0`);
    inside("ip", "addr", "add", `${child[family]}/${link}`, "dev", "pathc0", ...(nodad ? ["nodad"] : []));
    inside("ip", `-${family}`, "route", "add", "default", "dev", "pathc0");
  }
  parent = listLinks().find(({ name }) => name === "path0")?.ifindex ?? 0;
}, 120_000);
afterAll(() => {
  ip("link del path0");
  holder.stdin?.end();
  baseline.close();
  writeFileSync("/run/exchange/path-instructions.json", JSON.stringify(found));
});

/** What a send() takes, with a program at the parent or without. */
function instructions(family: Family, program?: BpfProgram): number {
  const detach = program && attach(program, parent, "egress");
  try {
    return Number(inside(join(root, "build", "send-cost"), far[family], "9"));
  } finally {
    detach?.();
  }
}

describe.each(FAMILIES)("IPv%i, on all of its way", (family) => {
  const on = new OnParent(datapath, family);
  const reference = () => instructions(family) + baseline.run("by_destination", on.sends({}).before);

  it.each([
    ["as it is", {}],
    ["masqueraded", { masquerade: true }],
  ])(
    "a datagram that leaves %s takes no more than a lookup and a tenth more than without",
    (name, changes) => {
      datapath.putUplink(parent, { ipv4: [[own[4], 24]], ipv6: own[6] });
      on.put("one", { parent, ...changes });
      const sent = () => datapath.counters(childSlot.one).transmit;
      const without = reference();
      const before = sent();
      const taken = instructions(family, datapath.program("parent_egress"));
      found[`IPv${family}, ${name}, without`] = without;
      found[`IPv${family}, ${name}`] = taken;
      const path = "masquerade" in changes ? "fast" : "slow";
      expect(sent()[path].packets - before[path].packets).toBe(2001);
      expect(taken / without).toBeLessThanOrEqual(most);
    },
  );
});
