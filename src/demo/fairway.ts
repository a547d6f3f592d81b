import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type DaemonReport, daemonReport } from "../cli/running.js";
import type { Disposers } from "./disposers.js";
import { unmountBelow } from "./leftovers.js";
import type { Names } from "./names.js";
import { UPLINK } from "./network.js";
import { Background, inside, run } from "./process.js";

const main = fileURLToPath(new URL("../program/main.js", import.meta.url));

/** The demo's own fairway on its own bpffs and state directory, in the host's namespace. */
export class Fairway {
  readonly #bpffs: string;
  readonly #stateDir: string;
  #daemon: Background | undefined;
  #starts = 0;

  private constructor(
    readonly names: Names,
    readonly dockerHost: string,
  ) {
    this.#bpffs = join(names.directory, "bpf");
    this.#stateDir = join(names.directory, "state");
  }

  static async prepare(names: Names, dockerHost: string, disposers: Disposers): Promise<Fairway> {
    const fairway = new Fairway(names, dockerHost);
    await mkdir(fairway.#bpffs);
    disposers.add("bpffs", () => unmountBelow(fairway.#bpffs));
    await run(["mount", "-t", "bpf", "bpf", fairway.#bpffs]);
    disposers.add("fairway", () => fairway.remove());
    return fairway;
  }

  /** `fairway run`, until it is ready. */
  async start(signal: AbortSignal): Promise<void> {
    const options = [
      "--docker-host",
      this.dockerHost,
      "--uplink",
      UPLINK,
      "--metrics",
      "off",
      "--flows-max",
      "65536",
    ];
    const daemon = new Background(
      "fairway run",
      inside(this.names.host, [process.execPath, main, "run", ...this.#where(), ...options]),
      join(this.names.directory, `fairway-${this.#starts++}.log`),
    );
    this.#daemon = daemon;
    await daemon.until(() => /^ready$/m.test(daemon.tail(1000)), 30_000, signal);
  }

  /** Ends the daemon and removes the datapath: from here on the engine is alone. */
  async remove(): Promise<void> {
    if (this.#daemon === undefined) return;
    await this.#daemon.stop();
    this.#daemon = undefined;
    await run(inside(this.names.host, [process.execPath, main, "cleanup", ...this.#where()]));
  }

  /** Counters since the start, and the reasons why packets were not fast; undefined while no daemon answers. */
  report(): Promise<DaemonReport | undefined> {
    return daemonReport(this.#stateDir);
  }

  /** An empty configuration file, so that the host's own is not read. */
  #where(): string[] {
    return ["--config", "/dev/null", "--bpffs", join(this.#bpffs, "fairway"), "--state-dir", this.#stateDir];
  }
}
