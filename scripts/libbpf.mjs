// Builds libbpf.a with its headers into the cache, from the sources that the crate libbpf-sys carries.
//
//   node scripts/libbpf.mjs     prints where it is

import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { requireCargo } from "./lib/cargo.mjs";
import { cacheDir, root } from "./lib/paths.mjs";
import { Failure, run } from "./lib/run.mjs";
import { isMain, main, step } from "./lib/step.mjs";
import { libbpf } from "./lib/versions.mjs";

/** Holds lib/libbpf.a, include/bpf/*.h and include/linux/*.h (the kernel's own headers of that time). */
export const libbpfDir = join(cacheDir, `libbpf-${libbpf.version}`);

/** @param {string} target cargo's target directory */
function outputOf(target) {
  const builds = join(target, "release", "build");
  const out = readdirSync(builds)
    .map((name) => join(builds, name, "out"))
    .find((path) => existsSync(join(path, "libbpf.a")));
  if (!out) throw new Failure("cargo built libbpf-sys, but there is no libbpf.a");
  return out;
}

/** @param {(line: string) => void} progress */
async function build(progress) {
  const { cargo, env } = requireCargo(libbpf.rust);
  const manifest = join(root, "scripts", "libbpf", "Cargo.toml");
  mkdirSync(cacheDir, { recursive: true });
  const work = mkdtempSync(join(cacheDir, "libbpf-build-"));
  try {
    const options = { onLine: progress, env: { ...env, CARGO_TERM_COLOR: "never" } };
    const build = [
      cargo,
      "build",
      "--release",
      "--locked",
      "--manifest-path",
      manifest,
      "--target-dir",
      work,
    ];
    await run(build, options);
    const metadata = await run(
      [cargo, "metadata", "--format-version", "1", "--locked", "--manifest-path", manifest],
      {
        env: { ...env, CARGO_TERM_QUIET: "true" },
      },
    );
    /** @type {{ packages: { name: string, manifest_path: string }[] }} */
    const { packages } = JSON.parse(metadata.slice(metadata.indexOf('{"packages"')).split("\n")[0]);
    const crate = packages.find((one) => one.name === "libbpf-sys");
    if (!crate) throw new Failure("cargo metadata doesn't list libbpf-sys");

    const made = join(work, "made");
    const out = outputOf(work);
    cpSync(join(out, "libbpf.a"), join(made, "lib", "libbpf.a"), { recursive: true });
    cpSync(join(out, "include"), join(made, "include"), { recursive: true });
    const uapi = join(dirname(crate.manifest_path), "libbpf", "include", "uapi", "linux");
    cpSync(uapi, join(made, "include", "linux"), { recursive: true });
    rmSync(libbpfDir, { recursive: true, force: true });
    renameSync(made, libbpfDir);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Builds libbpf when it isn't there. */
export async function buildLibbpf() {
  await step({
    name: `libbpf ${libbpf.version}`,
    done: () => existsSync(join(libbpfDir, "lib", "libbpf.a")),
    work: build,
    remedy:
      "check that crates can be downloaded and that libelf-dev and zlib1g-dev are installed, then run it again",
  });
  return libbpfDir;
}

if (isMain(import.meta.url)) await main(async () => console.log(await buildLibbpf()));
