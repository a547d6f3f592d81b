// Builds everything: eBPF object, TypeScript from its BTF, addon, JavaScript. What is current is left alone.
//
//   npm run build

import { chmodSync, existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { buildBpf } from "./bpf.mjs";
import { generateTypes } from "./codegen.mjs";
import { filesUnder } from "./lib/current.mjs";
import { root } from "./lib/paths.mjs";
import { Failure, run } from "./lib/run.mjs";
import { elapsed, isMain, main, step } from "./lib/step.mjs";
import { libbpfDir } from "./libbpf.mjs";
import { addonPath, buildNative } from "./native.mjs";

/** The addon, by cmake-js. */
async function buildAddon() {
  await step({
    name: "native addon",
    from: {
      files: filesUnder(["native", "CMakeLists.txt", "scripts/native.mjs"].map((path) => join(root, path))),
      more: [process.arch, libbpfDir],
      outputs: [addonPath()],
    },
    work: (progress) => buildNative({ onLine: progress }),
    remedy: "fix what the compiler says, or run `npm run setup` when a header or library is missing",
  });
}

/** dist/ from src/, strictly checked. */
export async function compileTypeScript() {
  const dist = join(root, "dist");
  const entry = join(dist, "cli", "main.js");
  await step({
    name: "TypeScript",
    from: {
      files: filesUnder(["src", "tsconfig.json", "package-lock.json"].map((path) => join(root, path))),
      outputs: [entry],
    },
    work: async () => {
      // Compiled beside and moved: nothing of a source that is gone stays, and a broken compile leaves what was there.
      const made = join(root, "build", "dist");
      rmSync(made, { recursive: true, force: true });
      const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
      await run([process.execPath, tsc, "-p", root, "--outDir", made, "--noEmitOnError"]);
      rmSync(dist, { recursive: true, force: true });
      renameSync(made, dist);
      if (!existsSync(entry)) throw new Failure(`the compiler made no ${entry}`);
      chmodSync(entry, 0o755);
    },
    remedy: "fix what the compiler says",
  });
}

/** The whole build, in order. */
export async function build() {
  if (!existsSync(join(root, "node_modules"))) {
    throw new Failure("no npm packages are installed", { remedy: "run `npm run setup` first" });
  }
  await buildBpf();
  await generateTypes();
  await buildAddon();
  await compileTypeScript();
}

if (isMain(import.meta.url)) {
  await main(async () => {
    await build();
    process.stderr.write(`built in ${elapsed()}\n`);
  });
}
