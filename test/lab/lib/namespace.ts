// A network namespace and what runs in it.

import { basename } from "node:path";
import type { Disposers } from "./disposers.js";
import { agent } from "./paths.js";
import { Background, type BackgroundOptions, type Result, type RunOptions, run } from "./process.js";

/** A network namespace by its path: one that the lab made, or a container's. */
export class Namespace {
  constructor(readonly path: string) {}

  get name(): string {
    return basename(this.path);
  }

  /** The command that enters it. Not `ip netns exec`, which remounts /sys and hides the cgroups from an engine. */
  enter(command: readonly string[]): string[] {
    return ["nsenter", `--net=${this.path}`, "--", ...command];
  }

  /** Runs a program in it to the end. */
  exec(command: readonly string[], options?: RunOptions): Promise<Result> {
    return run(this.enter(command), options);
  }

  /** Starts a program in it. The caller stops it, or gives a disposer. */
  spawn(command: readonly string[], options?: BackgroundOptions & { disposers?: Disposers }): Background {
    const child = new Background(this.enter(command), options);
    options?.disposers?.add(command.slice(0, 3).join(" "), () => child.stop());
    return child;
  }

  /** Starts one of test/lab/agents in it. */
  agent(name: string, args: readonly (string | number)[], disposers?: Disposers): Background {
    const command = [process.execPath, agent(name), ...args.map(String)];
    return this.spawn(command, disposers ? { disposers } : {});
  }

  /** Runs one of test/lab/agents in it to its end and returns the JSON that it printed. */
  async ask<T>(name: string, args: readonly (string | number)[], timeout = 60_000): Promise<T> {
    const command = [process.execPath, agent(name), ...args.map(String)];
    const { stdout } = await this.exec(command, { timeout });
    return JSON.parse(stdout) as T;
  }

  /** `ip` with JSON output, parsed. */
  async ip<T>(...args: string[]): Promise<T> {
    const { stdout } = await this.exec(["ip", "-j", ...args]);
    return JSON.parse(stdout || "[]") as T;
  }

  /** Reads (one argument) or sets a sysctl of the namespace. */
  async sysctl(name: string, value?: string | number): Promise<string> {
    const path = `/proc/sys/${name.replaceAll(".", "/")}`;
    // /proc/sys/net shows the namespace of whoever opens it.
    const command = value === undefined ? ["cat", path] : ["sh", "-c", `echo '${value}' > ${path}`];
    return (await this.exec(command)).stdout.trim();
  }
}

/** Makes a named namespace with its loopback up; removed by the disposers. */
export async function createNamespace(name: string, disposers: Disposers): Promise<Namespace> {
  await run(["ip", "netns", "add", name]);
  disposers.add(`namespace ${name}`, () => run(["ip", "netns", "del", name]));
  const namespace = new Namespace(`/var/run/netns/${name}`);
  await namespace.exec(["ip", "link", "set", "lo", "up"]);
  return namespace;
}

/** Joins two namespaces by a veth pair and brings both ends up. */
export async function joinByVeth(
  a: Namespace,
  aDevice: string,
  b: Namespace,
  bDevice: string,
): Promise<void> {
  const peer = ["peer", "name", bDevice, "netns", b.name];
  await run(["ip", "-n", a.name, "link", "add", aDevice, "type", "veth", ...peer]);
  await run(["ip", "-n", a.name, "link", "set", aDevice, "up"]);
  await run(["ip", "-n", b.name, "link", "set", bDevice, "up"]);
}
