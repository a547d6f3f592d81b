// The lab's library is TypeScript; the lab and the benchmarks run it compiled, the suites straight from its source.

import { join } from "node:path";
import { filesUnder } from "./current.mjs";
import { buildDir, root } from "./paths.mjs";
import { run } from "./run.mjs";
import { step } from "./step.mjs";

const sources = ["test/lab/lib", "bench", "src", "test/lab/tsconfig.json", "tsconfig.json"].map((path) =>
  join(root, path),
);
const wanted = (/** @type {string} */ path) => /\.(ts|json)$/.test(path);

/** Compiles test/lab/lib and bench into build/lab when they have changed. */
export async function buildLabLibrary() {
  await step({
    name: "lab library",
    from: {
      files: filesUnder(sources, wanted),
      outputs: [join(buildDir, "lab/test/lab/lib/index.js")],
    },
    work: () => run([join(root, "node_modules/.bin/tsc"), "-p", "test/lab/tsconfig.json"]),
  });
}
