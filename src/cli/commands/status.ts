import type { Command } from "commander";
import type { Context } from "../context.js";
import { addConfigOptions, configOf } from "../options.js";
import { addOutputOption } from "../output.js";
import type { StatusOptions } from "../status.js";

export function addStatus(program: Command, context: Context): void {
  const command = program
    .command("status")
    .description(
      "Tell how fairway is: engine, uplinks, endpoints with their packets by path, flows, warnings.",
    )
    .option("--brief", "one line")
    .addHelpText("after", "\nExample:\n  fairway status -o json | jq .status.state\n");
  addConfigOptions(command, ["bpffs", "state-dir"]);
  addOutputOption(command).action(async (options: StatusOptions) => {
    const { config } = configOf(command, context);
    const { runStatus } = await import("../status.js");
    await runStatus(config, options, context);
  });
}
