import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errorCode } from "../errors.js";
import { pidOf } from "./names.js";
import { output, run } from "./process.js";

/** Unmounts everything below a directory, innermost first. */
export async function unmountBelow(directory: string): Promise<void> {
  for (const point of mountsBelow(directory).reverse()) await run(["umount", "-l", point]);
}

/** The mount points below a directory, in the order of mounting. */
export function mountsBelow(
  directory: string,
  mountinfo = readFileSync("/proc/self/mountinfo", "utf8"),
): string[] {
  return mountinfo
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .map((point) =>
      point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    )
    .filter((point) => point === directory || point.startsWith(`${directory}/`));
}

/** Removes what demos that were killed have left: those whose process is gone. */
export async function removeLeftovers(): Promise<void> {
  killLeftProcesses();
  for (const name of listed("/var/run/netns")) {
    if (isLeft(name)) await output(["ip", "netns", "delete", name]);
  }
  for (const name of listed(tmpdir())) {
    if (!isLeft(name)) continue;
    const directory = join(tmpdir(), name);
    await unmountBelow(directory);
    rmSync(directory, { recursive: true, force: true });
  }
}

/** An engine's shims outlive it, and containers their shims: all that descends from a process with our path in its command. */
function killLeftProcesses(): void {
  const processes = listed("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(look);
  const doomed = new Set<number>();
  for (const { pid, command } of processes) {
    const name = /\/(fairway-demo-\d+)\//.exec(command)?.[1];
    if (name !== undefined && isLeft(name)) doomed.add(pid);
  }
  for (let before = -1; doomed.size > before; ) {
    before = doomed.size;
    for (const { pid, parent } of processes) if (doomed.has(parent)) doomed.add(pid);
  }
  for (const pid of doomed) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if (errorCode(error) !== "ESRCH") throw error;
    }
  }
}

interface Process {
  pid: number;
  parent: number;
  command: string;
}

function look(name: string): Process {
  const read = (file: string) => {
    try {
      return readFileSync(`/proc/${name}/${file}`, "utf8");
    } catch {
      // Ended meanwhile.
      return "";
    }
  };
  return {
    pid: Number(name),
    parent: Number(/^PPid:\s*(\d+)/m.exec(read("status"))?.[1] ?? 0),
    command: read("cmdline").replaceAll("\0", " "),
  };
}

function listed(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

function isLeft(name: string): boolean {
  const pid = pidOf(name);
  return pid !== undefined && !isAlive(pid);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) !== "ESRCH";
  }
}
