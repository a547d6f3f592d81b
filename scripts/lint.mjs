// One look at everything: biome for TypeScript and scripts, clang-format for C and C++, tsc for the tests and scripts.
//
//   npm run lint

import { join } from "node:path";
import { checkFormat } from "./clang-format.mjs";
import { root } from "./lib/paths.mjs";
import { runVisible } from "./lib/run.mjs";
import { isMain, main } from "./lib/step.mjs";

const node = process.execPath;
const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
const biome = join(root, "node_modules", "@biomejs", "biome", "bin", "biome");

/**
 * Runs every check to its end and shows what they say.
 * @returns {Promise<string[]>} the checks that complain
 */
export async function lint() {
  /** @type {[string, () => Promise<boolean>][]} */
  const checks = [
    ["biome", async () => (await runVisible([node, biome, "check", "--error-on-warnings", root])) === 0],
    ["clang-format", checkFormat],
    [
      "tsc (src, tests)",
      async () => (await runVisible([node, tsc, "-p", join(root, "tsconfig.test.json")])) === 0,
    ],
    ["tsc (scripts)", async () => (await runVisible([node, tsc, "-p", join(root, "scripts")])) === 0],
  ];
  const complaints = [];
  for (const [name, check] of checks) {
    process.stderr.write(`\n== lint: ${name}\n`);
    if (!(await check())) complaints.push(name);
  }
  return complaints;
}

if (isMain(import.meta.url)) {
  await main(async () => {
    const complaints = await lint();
    if (complaints.length > 0) process.exitCode = 1;
    process.stderr.write(
      complaints.length > 0 ? `lint: ${complaints.join(", ")} complain\n` : "lint: clean\n",
    );
  });
}
