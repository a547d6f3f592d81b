// Takes a lab down when its owner can't: started beside every lab, it waits for its standard input to close (the owner has ended,
// however) and then ends the lab's processes and removes its namespaces, mounts and directory. After an orderly end there is
// nothing left to do.
//
//   node janitor.mjs LAB-ID LAB-DIR

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs";

const [id, dir] = process.argv.slice(2);
if (!/^fwl-[a-z0-9]+$/.test(id ?? "") || !dir?.includes(id))
  throw new Error("usage: janitor.mjs LAB-ID LAB-DIR");

for (const signal of ["SIGINT", "SIGHUP", "SIGTERM"]) process.on(signal, () => {});
process.stdin.resume();
process.stdin.on("error", tidy);
process.stdin.on("close", tidy);

const namespaces = () => ls("/var/run/netns").filter((name) => name.startsWith(`${id}-`));

function tidy() {
  // Twice: a dying engine may still start something.
  for (let round = 0; round < 2; round++) {
    const pids = processes();
    for (const signal of ["SIGTERM", "SIGKILL"]) {
      for (const pid of pids.filter(alive)) tryTo(() => process.kill(pid, signal));
      for (let i = 0; i < 30 && pids.some(alive); i++) pause(100);
    }
  }
  for (const point of mounts()) tryTo(() => execFileSync("umount", ["-l", point], { stdio: "ignore" }));
  for (const name of namespaces())
    tryTo(() => execFileSync("ip", ["netns", "del", name], { stdio: "ignore" }));
  if (existsSync(dir)) tryTo(() => rmSync(dir, { recursive: true, force: true }));
  process.exit(0);
}

/** The lab's processes: in its namespaces, or with its directory in their command line, and their descendants. */
function processes() {
  const inodes = new Set(namespaces().map((name) => tryTo(() => statSync(`/var/run/netns/${name}`).ino)));
  const all = ls("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  const parents = new Map(all.map((pid) => [pid, parentOf(pid)]));
  const ours = new Set(all.filter((pid) => pid !== process.pid && (inodes.has(netns(pid)) || mentions(pid))));
  for (let grew = true; grew; ) {
    grew = false;
    for (const [pid, parent] of parents)
      if (!ours.has(pid) && ours.has(parent)) {
        ours.add(pid);
        grew = true;
      }
  }
  return [...ours];
}

function mounts() {
  const points = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "");
  return points.filter((point) => point.startsWith(`${dir}/`)).reverse();
}

function netns(pid) {
  return Number(tryTo(() => readlinkSync(`/proc/${pid}/ns/net`))?.match(/\d+/)?.[0] ?? -1);
}

function mentions(pid) {
  const command = tryTo(() => readFileSync(`/proc/${pid}/cmdline`, "utf8")) ?? "";
  return command.includes(`${dir}/`);
}

function parentOf(pid) {
  return Number(tryTo(() => readFileSync(`/proc/${pid}/stat`, "utf8"))?.match(/\) \S (\d+)/)?.[1] ?? 0);
}

function alive(pid) {
  const state = tryTo(() => readFileSync(`/proc/${pid}/stat`, "utf8"))?.match(/\) (\S)/)?.[1];
  return state !== undefined && state !== "Z";
}

function ls(path) {
  return tryTo(() => readdirSync(path)) ?? [];
}

function pause(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

function tryTo(work) {
  try {
    return work();
  } catch {
    return undefined;
  }
}
