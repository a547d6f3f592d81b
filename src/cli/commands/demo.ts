import { type Command, InvalidArgumentError } from "commander";
import type { Context } from "../context.js";

export function addDemo(program: Command, context: Context): void {
  program
    .command("demo")
    .description(
      "Show fairway at work: an engine of its own in its own network namespace, two containers, and a live comparison " +
        "with and without fairway. Everything is removed at the end.",
    )
    .option("--seconds <n>", "compare for so long (default: until Ctrl-C; 30 with --json)", parseSeconds)
    .option("--json", "print the figures as JSON once, at the end")
    .addHelpText("after", "\nExample:\n  fairway demo --seconds 20\n")
    .action(async (options: { seconds?: number; json?: true }) => {
      const { runDemo } = await import("../demo.js");
      await runDemo(options, context);
    });
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!Number.isFinite(seconds) || seconds < 1 || seconds > 3600)
    throw new InvalidArgumentError("1 to 3600, please.");
  return seconds;
}
