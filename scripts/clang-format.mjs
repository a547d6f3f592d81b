// Formats C and C++ by .clang-format (bpf/ has its own).
//
//   node scripts/clang-format.mjs            rewrites
//   node scripts/clang-format.mjs --check    tells, exit status 1 when something is to be done

import { join } from "node:path";
import { filesUnder } from "./lib/current.mjs";
import { clangFormat } from "./lib/packages.mjs";
import { root } from "./lib/paths.mjs";
import { Failure, runVisible } from "./lib/run.mjs";
import { isMain, main } from "./lib/step.mjs";

/** @param {string[]} flags */
async function format(flags) {
  const program = clangFormat();
  if (!program) throw new Failure("no clang-format", { remedy: "run `npm run setup -- --test`" });
  const places = ["bpf", "native", "test"].map((path) => join(root, path));
  const files = filesUnder(places, (path) => /\.(c|h|cc|cpp|hpp)$/.test(path));
  return files.length === 0 ? 0 : await runVisible([program, ...flags, ...files]);
}

/** Is everything formatted? Shows what isn't. */
export async function checkFormat() {
  return (await format(["--dry-run", "--Werror", "--ferror-limit=1"])) === 0;
}

if (isMain(import.meta.url)) {
  await main(async () => {
    if (!process.argv.includes("--check")) process.exitCode = await format(["-i"]);
    else if (!(await checkFormat())) process.exitCode = 1;
  });
}
