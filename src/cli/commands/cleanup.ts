import type { Command } from "commander";
import type { Context } from "../context.js";
import { addConfigOptions, configOf } from "../options.js";
import { addOutputOption, type OutputFormat } from "../output.js";

export function addCleanup(program: Command, context: Context): void {
  const command = program
    .command("cleanup")
    .description(
      "Remove the datapath: links, programs, maps, state. No connection breaks: the kernel goes on with each.",
    )
    .addHelpText("after", "\nExample:\n  fairway cleanup -o json\n");
  addConfigOptions(command, ["bpffs", "state-dir", "log-format", "log-level"]);
  addOutputOption(command).action(async (options: { output: OutputFormat }) => {
    const { config } = configOf(command, context);
    const { runCleanup } = await import("../cleanup.js");
    await runCleanup(config, options.output, context);
  });
}
