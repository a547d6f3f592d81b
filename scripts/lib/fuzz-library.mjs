// The fuzzer is TypeScript and one C program; the suite runs it straight from its source, the command compiled.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { filesUnder } from "./current.mjs";
import { buildDir, root } from "./paths.mjs";
import { run } from "./run.mjs";
import { step } from "./step.mjs";

const sources = ["test/fuzz/lib", "test/lab/lib", "test/fuzz/tsconfig.json", "tsconfig.json"];

/** Compiles what sends and captures frames (test/fuzz/agents/player.c) into build/fuzz/player. */
export async function buildFuzzPlayer() {
  const source = join(root, "test/fuzz/agents/player.c");
  const output = join(buildDir, "fuzz/player");
  await step({
    name: "fuzz player",
    from: { files: [source], outputs: [output] },
    work: () => {
      mkdirSync(join(buildDir, "fuzz"), { recursive: true });
      return run([process.env.CC ?? "cc", "-O2", "-Wall", "-Werror", "-o", output, source]);
    },
    remedy: "run `npm run setup -- --test`",
  });
}

/** Compiles test/fuzz/lib into build/fuzz. */
export async function buildFuzzLibrary() {
  await step({
    name: "fuzz library",
    from: {
      files: filesUnder(
        sources.map((path) => join(root, path)),
        (path) => /\.(ts|json)$/.test(path),
      ),
      outputs: [join(buildDir, "fuzz/test/fuzz/lib/command.js")],
    },
    work: () => run([join(root, "node_modules/.bin/tsc"), "-p", "test/fuzz/tsconfig.json"]),
  });
}
