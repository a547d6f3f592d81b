import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, onTestFinished } from "vitest";
import { requireLlvm } from "../../../scripts/lib/llvm.mjs";
import { buildDir } from "../../../scripts/lib/paths.mjs";
import { libbpfDir } from "../../../scripts/libbpf.mjs";
import { addon } from "../../../src/native/addon.js";
import { enterNetworkNamespace, NativeError } from "../../../src/native/index.js";

/*
 * These tests talk to the real kernel, as root. What they make is called fwn-..., lies on a bpffs of its own or in
 * network namespaces of its own, and is gone when a test ends.
 */

// Under scripts/asan.mjs: at the end of each file, for vitest kills its processes before they could check at exit.
// It searches all of the process's memory, which takes seconds, on a busy machine many.
afterAll(() => addon().checkLeaks?.(), 120_000);

const fixtures = fileURLToPath(new URL("fixtures", import.meta.url));

/** Compiles fixtures/NAME.bpf.c and returns the object's bytes. */
export function compile(name: string): Buffer {
  const directory = join(buildDir, "test", "native");
  mkdirSync(directory, { recursive: true });
  const object = join(directory, `${name}-${process.pid}.bpf.o`);
  const include = ["-I", join(libbpfDir, "include"), "-I", `/usr/include/${machine()}-linux-gnu`];
  const flags = ["-target", "bpf", "-g", "-O2", "-mcpu=v3", "-Wall", "-Werror"];
  run(requireLlvm().clang, ...flags, ...include, "-c", join(fixtures, `${name}.bpf.c`), "-o", object);
  const image = readFileSync(object);
  rmSync(object);
  return image;
}

function machine(): string {
  return process.arch === "x64" ? "x86_64" : process.arch === "arm64" ? "aarch64" : process.arch;
}

/** Compiles fixtures/NAME.c for this machine and returns the program's path. */
export function compileTool(name: string): string {
  const directory = join(buildDir, "test", "native");
  mkdirSync(directory, { recursive: true });
  const program = join(directory, name);
  run("cc", "-Wall", "-Werror", "-O1", join(fixtures, `${name}.c`), "-o", program);
  return program;
}

/** Without what loads a sanitizer into this process (scripts/asan.mjs): other programs are not under test. */
export const childEnvironment: NodeJS.ProcessEnv = { ...process.env };
delete childEnvironment.LD_PRELOAD;

/** Runs a program to its end and returns what it wrote to stdout. */
export function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    env: childEnvironment,
  });
}

/** Closes a handle when the test ends. */
export function closing<T extends { close(): void }>(handle: T): T {
  onTestFinished(() => handle.close());
  return handle;
}

/** A bpffs of this test's own, to pin in. */
export function bpffs(): string {
  const path = mkdtempSync(join(tmpdir(), "fwn-bpffs-"));
  run("mount", "-t", "bpf", "bpf", path);
  onTestFinished(() => {
    run("umount", path);
    rmdirSync(path);
  });
  return path;
}

let namespaces = 0;

/** The namespace that this process was started in; its parent never leaves it. */
const home = `/proc/${process.ppid}/ns/net`;

/** A network namespace of this test's own with lo up; returns its name. The test is in it until it ends. */
export function enterNewNamespace(): string {
  const name = newNamespace();
  enterNetworkNamespace(`/run/netns/${name}`);
  onTestFinished(() => enterNetworkNamespace(home));
  run("ip", "link", "set", "lo", "up");
  return name;
}

/** A network namespace of this test's own, without entering it; returns its name. */
export function newNamespace(): string {
  const name = `fwn-${process.pid}-${namespaces++}`;
  run("ip", "netns", "add", name);
  onTestFinished(() => {
    run("ip", "netns", "delete", name);
  });
  return name;
}

/** The ifindex of a device of the namespace that we are in. */
export function ifindexOf(device: string): number {
  return (JSON.parse(run("ip", "-j", "link", "show", device)) as { ifindex: number }[])[0]?.ifindex ?? 0;
}

/** The directory of cgroup v2. */
export function cgroupRoot(): string {
  for (const line of readFileSync("/proc/mounts", "utf8").split("\n")) {
    const [, path, type] = line.split(" ");
    if (type === "cgroup2" && path !== undefined) return path;
  }
  throw new Error("no cgroup2 is mounted");
}

/** A cgroup of this test's own; returns its directory. */
export function newCgroup(): string {
  const path = join(cgroupRoot(), `fwn-${process.pid}`);
  mkdirSync(path);
  onTestFinished(() => rmdirSync(path));
  return path;
}

/** The NativeError that something throws; fails when it throws nothing or something else. */
export function nativeError(body: () => unknown): NativeError {
  try {
    body();
  } catch (error) {
    if (error instanceof NativeError) return error;
    throw error;
  }
  throw new Error("it threw nothing");
}

/** Little-endian numbers of 32 bits, one behind the other. */
export function u32(...numbers: number[]): Buffer {
  const buffer = Buffer.alloc(4 * numbers.length);
  for (const [index, number] of numbers.entries()) buffer.writeUInt32LE(number, 4 * index);
  return buffer;
}

/** A minimal Ethernet frame with an IPv4 UDP packet in it. */
export function frame(size = 64): Buffer {
  const packet = Buffer.alloc(size);
  packet.writeUInt16BE(0x0800, 12);
  packet.writeUInt16BE(0x4500, 14);
  packet.writeUInt16BE(size - 14, 16);
  packet.writeUInt16BE(0x4011, 22);
  packet.writeUInt32BE(0xc6120001, 26);
  packet.writeUInt32BE(0xc6120002, 30);
  return packet;
}

/** Waits until the condition holds; fails after ten seconds. */
export async function eventually(condition: () => boolean): Promise<void> {
  const end = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error("it did not happen within ten seconds");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
