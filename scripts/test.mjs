// Set-up, build, lint and the test suites; ends with a line "N passed, N failed".
//
//   npm test                        everything but vm
//   npm test -- unit bpf            some suites
//   npm run test:unit -- NAME       a file's path, or a test's title, has NAME in it

import { build } from "./build.mjs";
import { buildEngine29 } from "./engine-29.mjs";
import { checkHost } from "./lib/checks.mjs";
import { buildFuzzPlayer } from "./lib/fuzz-library.mjs";
import { Failure } from "./lib/run.mjs";
import { elapsed, main } from "./lib/step.mjs";
import { runSuite, suites } from "./lib/suites.mjs";
import { lint } from "./lint.mjs";
import { setupBuild, setupRun, setupTest, setupVm } from "./setup.mjs";

/** @typedef {import("./lib/suites.mjs").Outcome} Outcome */

/** @param {string[]} words */
function parse(words) {
  const known = suites.map(({ name }) => name);
  const option = words.find((word) => word.startsWith("-"));
  if (option !== undefined)
    throw new Failure(
      `${option}: no options are taken, only suites (${known.join(", ")}) and parts of names`,
    );
  const chosen = words.filter((word) => known.includes(word));
  return {
    chosen: suites.filter(({ name, always }) => (chosen.length > 0 ? chosen.includes(name) : always)),
    names: words.filter((word) => !known.includes(word)),
    whole: words.length === 0,
  };
}

/** Lint as one check among the tests. @returns {Promise<Outcome>} */
async function lintOutcome() {
  const complaints = await lint();
  return {
    suite: "lint",
    passed: complaints.length === 0 ? 1 : 0,
    failed: complaints.length,
    problems: complaints,
  };
}

await main(async () => {
  const { chosen, names, whole } = parse(process.argv.slice(2));
  checkHost();
  await setupBuild();
  await setupRun();
  await setupTest();
  if (chosen.some(({ name }) => name === "lab" || name === "fuzz")) await buildEngine29();
  if (chosen.some(({ name }) => name === "vm")) await setupVm();
  await build();
  if (chosen.some(({ name }) => name === "fuzz")) await buildFuzzPlayer();

  /** @type {Outcome[]} */
  const outcomes = whole ? [await lintOutcome()] : [];
  for (const { name } of chosen) {
    const begin = Date.now();
    process.stderr.write(`\n== ${name}\n`);
    outcomes.push(await runSuite(name, names));
    process.stderr.write(`== ${name}: ${((Date.now() - begin) / 1000).toFixed(0)} s\n`);
  }
  summary(outcomes);
});

/** @param {Outcome[]} outcomes */
function summary(outcomes) {
  console.log(`\nAfter ${elapsed()}:`);
  for (const { suite, passed, failed, problems } of outcomes) {
    const why = problems.length > 0 ? ` (${problems.join("; ")})` : "";
    console.log(`  ${suite.padEnd(5)} ${String(passed).padStart(5)} ok, ${failed} not ok${why}`);
  }
  const passed = outcomes.reduce((sum, one) => sum + one.passed, 0);
  const failed = outcomes.reduce((sum, one) => sum + one.failed, 0);
  console.log(`\n${passed} passed, ${failed} failed`);
  if (failed > 0 || passed === 0) process.exitCode = 1;
}
