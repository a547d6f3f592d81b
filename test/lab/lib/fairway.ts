// fairway on the lab's host: started, asked, killed, cleaned up.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Disposers } from "./disposers.js";
import type { Engine } from "./engine.js";
import { difference, Metrics, type PathCounts, pathCounts } from "./metrics.js";
import type { Namespace } from "./namespace.js";
import { agent, fairwayMain } from "./paths.js";
import { Background, type Result, type RunOptions, until } from "./process.js";

/** As on an emulated processor. */
const isSlow = process.env.FAIRWAY_LAB_PATIENCE !== undefined;

/** How to start it. */
export interface FairwayOptions {
  /** More arguments for `fairway run`. */
  readonly args?: readonly string[];
  readonly env?: Record<string, string>;
}

/** What fairway needs of a lab. */
export interface FairwayPlace {
  readonly host: Namespace;
  readonly engine: Engine;
  readonly bpffs: string;
  readonly dir: string;
  readonly disposers: Disposers;
}

/** Where `fairway run` serves its counters on the lab's host. */
export const metricsAddress = "127.0.0.1:9477";

/** The directories and the engine that every subcommand is told. */
export function fairwayPlaces({ bpffs, dir }: FairwayPlace): string[] {
  return ["--bpffs", join(bpffs, "fairway"), "--state-dir", join(dir, "state")];
}

/** How to run a subcommand. */
export interface FairwayCommandOptions extends RunOptions {
  /** A program and its arguments before it: setpriv, for instance. */
  readonly wrapper?: readonly string[];
}

/** Runs `fairway ...` on the lab's host to its end, with nothing added to the arguments. */
export function fairwayCommand(
  place: FairwayPlace,
  args: readonly string[],
  options: FairwayCommandOptions = {},
): Promise<Result> {
  if (!existsSync(fairwayMain)) throw new Error(`${fairwayMain} is missing: run \`npm run build\``);
  const { wrapper = [], ...rest } = options;
  return place.host.exec([...wrapper, process.execPath, fairwayMain, ...args], rest);
}

/** The arguments of `fairway run` in a lab. */
export const runArguments = (place: FairwayPlace): string[] => [
  "run",
  "--docker-host",
  place.engine.url,
  ...fairwayPlaces(place),
  "--metrics",
  metricsAddress,
];

/** A running `fairway run`. */
export class Fairway {
  private constructor(
    private readonly place: FairwayPlace,
    readonly process: Background,
  ) {}

  /**
   * Starts it and waits for `ready`. Where everything takes its time (test/vm) an engine may not answer in that which it has: there it is
   * started anew, as a service manager does.
   * @throws CommandError with what it said when it ends before that
   */
  static async start(place: FairwayPlace, options: FairwayOptions = {}): Promise<Fairway> {
    for (let attempts = isSlow ? 5 : 1; ; attempts--) {
      try {
        return await Fairway.#start(place, options);
      } catch (error) {
        if (attempts <= 1 || !String(error).includes("engine did not answer")) throw error;
      }
    }
  }

  static async #start(place: FairwayPlace, options: FairwayOptions): Promise<Fairway> {
    if (!existsSync(fairwayMain)) throw new Error(`${fairwayMain} is missing: run \`npm run build\``);
    const command = [process.execPath, fairwayMain, ...runArguments(place), ...(options.args ?? [])];
    const child = new Background(place.host.enter(command), options.env ? { env: options.env } : {});
    place.disposers.add("fairway run", () => child.stop());
    await child.waitFor(/\bready\b/, { stream: "stderr", timeout: 30_000 });
    return new Fairway(place, child);
  }

  /** What it said so far. */
  get log(): string {
    return this.process.stderr;
  }

  /** Its resident memory in MB (10^6 bytes). */
  get residentMb(): number {
    const status = readFileSync(`/proc/${this.process.pid}/status`, "utf8");
    return (Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024) / 1e6;
  }

  /** Ends the daemon; the pinned datapath stays. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number> {
    return this.process.stop(signal);
  }

  /** `fairway cleanup`: removes the datapath. */
  cleanup(): Promise<Result> {
    return fairwayCleanup(this.place);
  }

  /** Reads a page of its HTTP server. */
  async page(path: string): Promise<string> {
    const command = [process.execPath, agent("get.mjs"), `http://${metricsAddress}${path}`];
    return (await this.place.host.exec(command)).stdout;
  }

  /** Its counters now. */
  async metrics(): Promise<Metrics> {
    return new Metrics(await this.page("/metrics"));
  }

  /**
   * Runs some traffic and returns how many packets of a container took which path meanwhile.
   * @param container its name
   * @param network its network's name; all of its networks when left out
   */
  async pathTaken(container: string, traffic: () => unknown, network?: string): Promise<PathCounts> {
    const before = pathCounts(await this.metrics(), container, network);
    await traffic();
    return difference(pathCounts(await this.metrics(), container, network), before);
  }

  /** Waits until it knows a container: its counters are on the page. */
  async knows(container: string, network?: string): Promise<void> {
    const labels = { container, ...(network && { network }) };
    await until(`fairway knows ${container}`, async () => {
      const metrics = await this.metrics();
      return metrics.find("fairway_endpoint_receive_packets_total", labels).length > 0;
    });
  }
}

/** `fairway cleanup` in a lab. */
export const fairwayCleanup = (place: FairwayPlace): Promise<Result> =>
  fairwayCommand(place, ["cleanup", ...fairwayPlaces(place)]);
