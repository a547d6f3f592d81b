// Builds bpf-linker by cargo into the cache, once per version and LLVM.
//
//   node scripts/bpf-linker.mjs     prints where it is

import { existsSync } from "node:fs";
import { join } from "node:path";
import { requireCargo } from "./lib/cargo.mjs";
import { requireLlvm } from "./lib/llvm.mjs";
import { cacheDir } from "./lib/paths.mjs";
import { run } from "./lib/run.mjs";
import { isMain, main, step } from "./lib/step.mjs";
import { bpfLinker } from "./lib/versions.mjs";

/**
 * Where the linker is, or will be. FAIRWAY_BPF_LINKER names another one.
 * @param {{ major: number }} llvm
 */
export function bpfLinkerPath(llvm) {
  const directory = `bpf-linker-${bpfLinker.version}-llvm${llvm.major}`;
  return process.env.FAIRWAY_BPF_LINKER ?? join(cacheDir, directory, "bin", "bpf-linker");
}

/** Builds the linker when it isn't there. */
export async function buildBpfLinker() {
  const llvm = requireLlvm();
  const path = bpfLinkerPath(llvm);
  await step({
    name: `bpf-linker ${bpfLinker.version} with LLVM ${llvm.major}`,
    done: () => existsSync(path),
    work: (progress) => {
      const { cargo, env } = requireCargo(bpfLinker.rust);
      const install = [cargo, "install", "bpf-linker", "--version", bpfLinker.version, "--locked"];
      const features = ["--no-default-features", "--features", `llvm-${llvm.major}`];
      return run([...install, ...features, "--root", join(path, "../..")], {
        onLine: progress,
        // The work is done in LLVM's library: optimising the linker itself doubles the build's time for nothing.
        env: {
          ...env,
          LLVM_PREFIX: llvm.prefix,
          CARGO_TERM_COLOR: "never",
          CARGO_PROFILE_RELEASE_OPT_LEVEL: "1",
          CARGO_PROFILE_RELEASE_DEBUG: "0",
        },
      });
    },
    remedy: `check that crates can be downloaded and that llvm-${llvm.major}-dev is installed, then run it again`,
  });
  return path;
}

if (isMain(import.meta.url)) await main(async () => console.log(await buildBpfLinker()));
