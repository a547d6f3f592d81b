// Rebuilds and reloads on every change: what changed decides what is built, then the daemon is started anew. The
// datapath stays loaded meanwhile, and the new daemon swaps its programs in.
//
//   npm run dev [-- FLAGS OF fairway run]

import { spawn } from "node:child_process";
import { watch } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { root } from "./lib/paths.mjs";
import { main, report } from "./lib/step.mjs";
import { setupBuild, setupRun } from "./setup.mjs";

const watched = ["bpf", "native", "src"];
/** An editor saves in several steps. */
const settleMs = 200;

/** @type {import("node:child_process").ChildProcess | undefined} */
let daemon;

/** Ends the running daemon, if any, and waits for its end. */
async function stop() {
  const running = daemon;
  daemon = undefined;
  if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
  const ended = new Promise((resolve) => running.once("exit", resolve));
  running.kill("SIGTERM");
  await ended;
}

/** Builds what changed; a broken build leaves the old daemon running. */
async function reload() {
  try {
    await build();
  } catch (error) {
    report(error);
    return;
  }
  await stop();
  const entry = join(root, "dist", "program", "main.js");
  daemon = spawn(process.execPath, [entry, "run", ...process.argv.slice(2)], { stdio: "inherit" });
}

await main(async () => {
  await setupBuild();
  await setupRun();
  let timer = setTimeout(() => {}, 0);
  let chain = reload();
  const schedule = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      chain = chain.then(reload);
    }, settleMs);
  };
  for (const directory of watched) {
    watch(join(root, directory), { recursive: true }, (_, name) => {
      // What the build itself writes is no change of ours.
      if (!name?.startsWith("generated")) schedule();
    });
  }
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.once(signal, () => {
      clearTimeout(timer);
      void stop().then(() => process.exit(0));
    });
  }
});
