// Makes a current Go available, for the lab's engine.
//
//   node scripts/go.mjs     prints its path

import { fetchGo, findCurrentGo, requireGo } from "./lib/go.mjs";
import { isMain, main, step } from "./lib/step.mjs";
import { go } from "./lib/versions.mjs";

/** Fetches a Go toolchain when there is none that is new enough. */
export async function provideGo() {
  await step({
    name: `Go ${go.version}`,
    done: () => findCurrentGo() !== undefined,
    work: fetchGo,
    remedy: `install Go ${go.least.join(".")} or newer and put it in PATH, then run it again`,
  });
  return requireGo();
}

if (isMain(import.meta.url)) await main(async () => console.log(await provideGo()));
