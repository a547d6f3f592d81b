// Fetches the kernels that test/vm boots, Debian's own, once per series, into the cache. Nothing of them is installed.
//
//   node scripts/kernels.mjs     prints each kernel's directory

import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openDebian } from "./lib/debian.mjs";
import { cacheDir } from "./lib/paths.mjs";
import { Failure, run } from "./lib/run.mjs";
import { isMain, main, step } from "./lib/step.mjs";
import { kernelSeries } from "./lib/versions.mjs";

const kernelsDir = join(cacheDir, "kernels");

/** A series' kernel: vmlinuz, lib/modules/RELEASE, and kernel.json with its release and version. @param {string} series */
const kernelDir = (series) => join(kernelsDir, series);

/** Written last: what a directory without it holds is not complete. @param {string} series */
const stamp = (series) => join(kernelDir(series), "kernel.json");

/**
 * Fetches the kernels that the cache has not.
 * @returns {Promise<string[]>} a directory for each of kernelSeries
 * @throws {Failure} when Debian has none of a series, or can't be reached
 */
export async function provideKernels() {
  const missing = kernelSeries.filter((series) => !existsSync(stamp(series)));
  await step({
    name: `kernels ${kernelSeries.join(", ")} of Debian`,
    done: () => missing.length === 0,
    work: async (progress) => {
      mkdirSync(kernelsDir, { recursive: true });
      const debian = await openDebian(join(kernelsDir, "apt"), progress);
      for (const series of missing) await fetchKernel(debian, series, progress);
    },
    remedy: "check that this system's Debian mirror can be reached, then run it again",
  });
  return kernelSeries.map(kernelDir);
}

/**
 * @param {import("./lib/debian.mjs").Debian} debian
 * @param {string} series
 * @param {(line: string) => void} progress
 */
async function fetchKernel(debian, series, progress) {
  const meta = "linux-image-amd64";
  const version = debian.versions(meta).find((one) => one.startsWith(`${series}.`));
  // The package that always depends on the newest kernel tells which one that is.
  const name = version && packagesIn(debian.field(meta, version, "Depends"), /^linux-image-\d\S*$/)[0];
  if (!version || !name) throw new Failure(`Debian 12, 13's and its own backports have no kernel ${series}`);
  const release = name.slice("linux-image-".length);
  // Newer ones have the image, the modules, and the list of what is built in, in packages of their own.
  const parts = packagesIn(debian.field(name, version, "Depends"), /^linux-(base|binary|modules)-\d\S*$/);
  const building = mkdtempSync(join(kernelsDir, `.${series}-`));
  try {
    const content = join(building, "content");
    mkdirSync(content);
    for (const one of [name, ...parts]) await debian.download(one, version, building, progress);
    for (const deb of readdirSync(building).filter((file) => file.endsWith(".deb"))) {
      progress(`unpacking ${deb}`);
      await run(["dpkg-deb", "--extract", join(building, deb), content]);
    }
    moveModules(content);
    await run(["depmod", "--basedir", content, release]);
    renameSync(imageIn(content, release), join(content, "vmlinuz"));
    for (const needless of ["boot", "usr"]) rmSync(join(content, needless), { recursive: true, force: true });
    writeFileSync(join(content, "kernel.json"), JSON.stringify({ series, release, version }));
    rmSync(kernelDir(series), { recursive: true, force: true });
    renameSync(content, kernelDir(series));
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
}

/** The names in a package's "Depends" that match. @param {string | undefined} depends @param {RegExp} pattern */
function packagesIn(depends, pattern) {
  const names = (depends ?? "").split(",").map((one) => one.trim().split(" ")[0] ?? "");
  return names.filter((name) => pattern.test(name));
}

/** To where depmod and modprobe look for them; newer packages have them below /usr. @param {string} content */
function moveModules(content) {
  const moved = join(content, "usr", "lib", "modules");
  if (!existsSync(moved)) return;
  mkdirSync(join(content, "lib"), { recursive: true });
  renameSync(moved, join(content, "lib", "modules"));
}

/** @param {string} content @param {string} release @throws {Failure} when there is none */
function imageIn(content, release) {
  const places = [join("boot", `vmlinuz-${release}`), join("lib", "modules", release, "vmlinuz")];
  const found = places.map((place) => join(content, place)).find((path) => existsSync(path));
  if (found === undefined) throw new Failure(`the packages of kernel ${release} have no vmlinuz`);
  return found;
}

if (isMain(import.meta.url)) await main(async () => console.log((await provideKernels()).join("\n")));
