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

/**
 * dist/ from src/, strictly checked: a module for each source, and in dist/program what is run, with what it needs of npm's packages in a
 * few files. That starts in half the time and takes 10 MB less.
 */
export async function compileTypeScript() {
  const dist = join(root, "dist");
  const entry = join(dist, "program", "main.js");
  await step({
    name: "TypeScript",
    from: {
      files: filesUnder(
        ["src", "scripts/build.mjs", "tsconfig.json", "package-lock.json"].map((path) => join(root, path)),
      ),
      outputs: [entry],
    },
    work: async () => {
      // Compiled beside and moved: nothing of a source that is gone stays, and a broken compile leaves what was there.
      const made = join(root, "build", "dist");
      rmSync(made, { recursive: true, force: true });
      const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
      await run([process.execPath, tsc, "-p", root, "--outDir", made, "--noEmitOnError"]);
      await bundle(join(made, "cli", "main.js"), join(made, "program"));
      rmSync(dist, { recursive: true, force: true });
      renameSync(made, dist);
      if (!existsSync(entry)) throw new Failure(`the compiler made no ${entry}`);
      chmodSync(entry, 0o755);
    },
    remedy: "fix what the compiler says",
  });
}

/**
 * @param {string} input
 * @param {string} dir as deep in the package as the input's: what is found relative to a module still is
 */
async function bundle(input, dir) {
  // Not there before the set-up.
  const { rolldown } = await import("rolldown");
  const bundled = await rolldown({ input, platform: "node", cwd: root });
  await bundled.write({ dir, format: "esm" });
  await bundled.close();
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
