// The lab's last lines of defence: signals, and a janitor process for the case that this one is killed.

import { spawn } from "node:child_process";
import type { Disposers } from "./disposers.js";
import { agent } from "./paths.js";

const open = new Set<Disposers>();
let listening = false;

/** On SIGINT, SIGTERM and SIGHUP everything open is taken down, then the process ends as the signal wanted. */
function listen(): void {
  if (listening) return;
  listening = true;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => {
      const all = [...open].map((disposers) => disposers.dispose());
      void Promise.allSettled(all).then(() => process.exit(signal === "SIGINT" ? 130 : 143));
    });
  }
}

/** Makes sure that a lab is taken down when this process ends in whatever way. */
export function guard(id: string, dir: string, disposers: Disposers): void {
  listen();
  open.add(disposers);
  const janitor = spawn(process.execPath, [agent("janitor.mjs"), id, dir], {
    detached: true, // Its own process group: a Ctrl-C is not for it.
    stdio: ["pipe", "ignore", "ignore"],
  });
  janitor.unref();
  // An open pipe alone doesn't keep this process; when it ends, the kernel closes it and the janitor sees that.
  const pipe = janitor.stdin;
  if (pipe && "unref" in pipe && typeof pipe.unref === "function") pipe.unref();
  disposers.add("janitor", () => {
    open.delete(disposers);
    pipe.destroy();
  });
}
