// From nothing to running: set-up, build, then fairway on the host's engine; without one, the demo.
//
//   npm start [-- FLAGS OF fairway run]

import { join } from "node:path";
import { build } from "./build.mjs";
import { checkHost } from "./lib/checks.mjs";
import { defaultHost, engineAnswers } from "./lib/engine-socket.mjs";
import { root } from "./lib/paths.mjs";
import { runVisible } from "./lib/run.mjs";
import { elapsed, main } from "./lib/step.mjs";
import { setupBuild, setupRun } from "./setup.mjs";

await main(async () => {
  checkHost();
  await setupBuild();
  await setupRun();
  await build();
  const host = process.env.DOCKER_HOST || defaultHost;
  const flags = process.argv.slice(2);
  const fairway = [process.execPath, join(root, "dist", "program", "main.js")];
  // Flags may name another engine or a configuration that does: then it is fairway's to say what is wrong.
  const found = flags.length > 0 || (await engineAnswers(host));
  process.stderr.write(
    found
      ? `ready to run after ${elapsed()}: fairway run ${flags.join(" ")}\n`
      : `ready to run after ${elapsed()}, but no engine answers at ${host}: showing \`fairway demo\` instead\n`,
  );
  process.exitCode = await runVisible([...fairway, ...(found ? ["run", ...flags] : ["demo"])]);
});
