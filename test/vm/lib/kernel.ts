// The kernels that scripts/kernels.mjs has put into the cache.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { kernelSeries } from "../../../scripts/lib/versions.mjs";
import { cacheDir } from "../../lab/lib/paths.js";

/** A kernel of Debian's, unpacked. */
export interface Kernel {
  /** Such as "6.1". */
  readonly series: string;
  /** What `uname -r` says there. */
  readonly release: string;
  /** Its package's version. */
  readonly version: string;
  readonly image: string;
  /** The directory with modules by release. */
  readonly modules: string;
}

/** The series to test: all, or the one that FAIRWAY_VM_KERNEL names. */
export function seriesToTest(): readonly string[] {
  const only = process.env.FAIRWAY_VM_KERNEL;
  if (!only) return kernelSeries;
  if (kernelSeries.includes(only)) return [only];
  throw new Error(`FAIRWAY_VM_KERNEL: ${only} is none of ${kernelSeries.join(", ")}`);
}

/**
 * A kernel of the cache.
 * @throws Error with the remedy when it is not there
 */
export function findKernel(series: string): Kernel {
  const directory = join(cacheDir, "kernels", series);
  if (!existsSync(join(directory, "kernel.json"))) {
    throw new Error(`kernel ${series} is missing: \`node scripts/kernels.mjs\` fetches it`);
  }
  const described = JSON.parse(readFileSync(join(directory, "kernel.json"), "utf8"));
  return {
    ...described,
    image: join(directory, "vmlinuz"),
    modules: join(directory, "lib", "modules"),
  };
}
