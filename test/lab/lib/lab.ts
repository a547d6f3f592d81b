// One lab: its namespaces, an engine, a bpffs, and whatever a suite adds; all of it gone after dispose().

import { randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { guard } from "./cleanup.js";
import { Disposers } from "./disposers.js";
import { Engine, type EngineOptions } from "./engine.js";
import { Fairway, type FairwayOptions } from "./fairway.js";
import { run } from "./process.js";
import { createDirectHosts, createHosts, type Hosts } from "./topology.js";

/** What every lab has. */
export interface LabBase {
  /** `fwl-` and six characters: the prefix of its namespaces and the name of its directory. */
  readonly id: string;
  readonly dir: string;
  /** A bpffs of its own, mounted. */
  readonly bpffs: string;
  readonly engine: Engine;
  readonly disposers: Disposers;
  /** Starts `fairway run` on the host and waits until it is ready. */
  fairway(options?: FairwayOptions): Promise<Fairway>;
  dispose(): Promise<void>;
}

export type Lab = LabBase & Hosts;
export type DirectLab = LabBase & Pick<Hosts, "client" | "host">;

async function create<H extends Pick<Hosts, "host">>(
  options: EngineOptions,
  makeHosts: (id: string, disposers: Disposers) => Promise<H>,
): Promise<LabBase & H> {
  if (process.getuid?.() !== 0) throw new Error("the lab makes network namespaces: run it as root");
  const disposers = new Disposers();
  const id = `fwl-${randomBytes(3).toString("hex")}`;
  const dir = join(tmpdir(), id);
  await mkdir(dir);
  guard(id, dir, disposers);
  disposers.add(`directory ${dir}`, () => rm(dir, { recursive: true, force: true, maxRetries: 5 }));
  try {
    const hosts = await makeHosts(id, disposers);
    const bpffs = join(dir, "bpf");
    await mkdir(bpffs);
    await run(["mount", "-t", "bpf", "bpf", bpffs]);
    disposers.add("bpffs", () => run(["umount", "-l", bpffs]));
    const engine = await Engine.start(hosts.host, join(dir, "engine"), options, disposers);
    const base = { ...hosts, id, dir, bpffs, engine, disposers };
    return {
      ...base,
      fairway: (fairwayOptions) => Fairway.start(base, fairwayOptions),
      dispose: () => disposers.dispose(),
    };
  } catch (error) {
    await disposers.dispose().catch(() => {});
    throw error;
  }
}

/** Brings up a lab with the full topology (see topology.ts). */
export const createLab = (options: EngineOptions): Promise<Lab> => create<Hosts>(options, createHosts);

/** Brings up a lab of only client and host, joined directly: for benchmarks. */
export const createDirectLab = (options: EngineOptions): Promise<DirectLab> =>
  create<Pick<Hosts, "client" | "host">>(options, createDirectHosts);
