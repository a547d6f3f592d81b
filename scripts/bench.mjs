// Docker's own path against fairway's, and the host's own, interleaved on one engine. Prints medians and ratios.
//
//   npm run bench [-- --quick] [--engine 20.10|29] [--host] [--rounds N] [--seconds N] [-o table|json]
//
//   --quick   3 rounds of 1 s each instead of 8 of 2 s
//   --host    a third variant: the servers with --network host

import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { buildEngine29 } from "./engine-29.mjs";
import { buildLabLibrary } from "./lib/lab-library.mjs";
import { buildDir } from "./lib/paths.mjs";
import { Failure } from "./lib/run.mjs";
import { elapsed, main } from "./lib/step.mjs";
import { setupBuild, setupRun, setupTest } from "./setup.mjs";

await main(async () => {
  const asked = options();
  await setupBuild();
  await setupRun();
  await setupTest();
  if (asked.engine === "29") await buildEngine29();
  await build();
  await buildLabLibrary();
  const { bench, asTable } = await import(join(buildDir, "lab/bench/bench.js"));
  const variants = ["docker", "fairway", ...(asked.host ? ["host"] : [])];
  const result = await bench({
    kind: asked.engine,
    rounds: asked.rounds,
    seconds: asked.seconds,
    variants,
    progress: (/** @type {string} */ text) => console.error(`  ${text}`),
  });
  if (asked.output === "json") console.log(JSON.stringify(result, undefined, 2));
  else {
    const colour = process.stdout.isTTY === true && !process.env.NO_COLOR;
    console.log(asTable(result.rows, variants, colour));
    console.log(
      `engine ${result.engine}, ${result.rounds} rounds interleaved; client on core 0, servers on core 1; ratios within a round: median (smallest to largest)`,
    );
  }
  console.error(`done in ${elapsed()}`);
});

function options() {
  const text = /** @type {const} */ ({ type: "string" });
  const flag = /** @type {const} */ ({ type: "boolean", default: false });
  try {
    const { values } = parseArgs({
      options: {
        quick: flag,
        host: flag,
        engine: { ...text, default: "29" },
        rounds: text,
        seconds: text,
        output: { ...text, short: "o", default: "table" },
      },
    });
    if (!["20.10", "29"].includes(values.engine)) throw new Error(`no engine ${values.engine}: 20.10 or 29`);
    if (!["table", "json"].includes(values.output))
      throw new Error(`no output ${values.output}: table or json`);
    return {
      engine: values.engine,
      host: values.host,
      output: values.output,
      rounds: number("rounds", values.rounds ?? (values.quick ? "3" : "8")),
      seconds: number("seconds", values.seconds ?? (values.quick ? "1" : "2")),
    };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new Failure(message, { remedy: "the options stand at the top of scripts/bench.mjs" });
  }
}

/** @param {string} name @param {string} value */
function number(name, value) {
  if (!/^[1-9]\d?$/.test(value)) throw new Error(`--${name} wants a number from 1 to 99, not ${value}`);
  return Number(value);
}
