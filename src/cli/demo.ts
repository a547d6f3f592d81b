import { type DemoOptions, demo } from "../demo/demo.js";
import { screen } from "../demo/view.js";
import { UserError } from "../errors.js";
import type { Context } from "./context.js";
import { preflight, thisHost } from "./preflight.js";
import { endingSignal } from "./signals.js";

/** `fairway demo`. */
export async function runDemo(options: { seconds?: number; json?: true }, context: Context): Promise<void> {
  preflight(thisHost(), "demo");
  const begin = Date.now();
  const ending = endingSignal();
  const abort = new AbortController();
  void ending.signalled.then(() => abort.abort());
  const paint = options.json === true ? undefined : painter(context);
  const demoOptions: DemoOptions = {
    seconds: options.seconds ?? (options.json === true ? 30 : undefined),
    signal: abort.signal,
    step: (what) => context.say(`${((Date.now() - begin) / 1000).toFixed(1).padStart(5)} s  ${what}`),
    show: (subject, comparison) => paint?.(screen(subject, comparison, context.color)),
  };
  try {
    const { report, problems } = await demo(demoOptions);
    if (options.json === true) context.out(`${JSON.stringify(report, null, 2)}\n`);
    for (const problem of problems) context.say(`fairway demo: not removed: ${problem}`);
    if (problems.length > 0) throw new UserError("the demo could not remove everything it made");
  } catch (error) {
    if (!abort.signal.aborted) throw error;
    throw new UserError("the demo was interrupted before it had begun; all of it is removed", {
      cause: error,
    });
  } finally {
    ending.release();
  }
}

/** Draws each screen over the one before, where that is a terminal. */
function painter(context: Context): (text: string) => void {
  let lines = 0;
  return (text) => {
    const back = process.stdout.isTTY && lines > 0 ? `\u001b[${lines}A\u001b[J` : "";
    lines = text.split("\n").length;
    context.out(`${back}${text}\n`);
  };
}
