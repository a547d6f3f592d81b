// Plays random packets on two equal hosts, one with fairway and one without, and tells where they differ (docs/fuzzing.md).
// Exit status 1 when they do.

import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { buildEngine29 } from "./engine-29.mjs";
import { checkHost } from "./lib/checks.mjs";
import { buildFuzzLibrary, buildFuzzPlayer } from "./lib/fuzz-library.mjs";
import { buildDir } from "./lib/paths.mjs";
import { Failure } from "./lib/run.mjs";
import { main } from "./lib/step.mjs";
import { setupBuild, setupRun, setupTest } from "./setup.mjs";

const help = `npm run fuzz -- [options]

  --packets N       how many packets to play at least (default 100000)
  --seconds N       and how long at most (default: no limit)
  --seed N          decides every packet (default 1)
  --families LIST   4, 6 or 4,6 (default 4,6)
  --engine KIND     29 or 20.10 (default 29)
  --no-proxy        engines without docker-proxy
  --chapter N       begin at this chapter, as a report names it (default 0)
  --differences N   go on until so many were found (default 1)
  --replay FILE     play a script that was kept, or "corpus" for all of test/fuzz/corpus; may be repeated
  --show RULE       tell of each difference that this rule allows; may be repeated
  --trace           show what each step of a replay causes, and what conntrack knows after it
  --help
`;

await main(async () => {
  const options = asked();
  if (!options) {
    process.stdout.write(help);
    return;
  }
  checkHost();
  await setupBuild();
  await setupRun();
  await setupTest();
  if (options.engine === "29") await buildEngine29();
  await build();
  await buildFuzzPlayer();
  await buildFuzzLibrary();
  const { fuzzCommand } = await import(join(buildDir, "fuzz/test/fuzz/lib/command.js"));
  const differences = await fuzzCommand(options);
  if (differences > 0) process.exitCode = 1;
});

/** The options; undefined: help is wanted. */
function asked() {
  const text = /** @type {const} */ ({ type: "string" });
  try {
    const { values } = parseArgs({
      options: {
        packets: { ...text, default: "100000" },
        seconds: { ...text, default: "1000000000" },
        seed: { ...text, default: "1" },
        families: { ...text, default: "4,6" },
        engine: { ...text, default: "29" },
        "no-proxy": { type: "boolean", default: false },
        chapter: { ...text, default: "0" },
        differences: { ...text, default: "1" },
        replay: { ...text, multiple: true, default: [] },
        show: { ...text, multiple: true, default: [] },
        trace: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.help) return undefined;
    const number = (/** @type {"packets" | "seconds" | "seed" | "chapter" | "differences"} */ name) => {
      if (!/^\d{1,10}$/.test(values[name])) throw new Error(`--${name} wants a number, not ${values[name]}`);
      return Number(values[name]);
    };
    if (!["4", "6", "4,6"].includes(values.families)) throw new Error(`no families ${values.families}`);
    if (!["20.10", "29"].includes(values.engine)) throw new Error(`no engine ${values.engine}`);
    return {
      engine: values.engine,
      proxy: !values["no-proxy"],
      families: values.families.split(",").map(Number),
      packets: number("packets"),
      seconds: number("seconds"),
      seed: number("seed"),
      chapter: number("chapter"),
      differences: number("differences"),
      trace: values.trace,
      show: values.show,
      replay: values.replay.map((file) => (file === "corpus" ? file : resolve(file))),
    };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new Failure(message, { remedy: "see `npm run fuzz -- --help`" });
  }
}
