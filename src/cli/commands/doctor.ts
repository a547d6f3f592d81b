import type { Command } from "commander";
import type { Context } from "../context.js";
import { addConfigOptions, configOf } from "../options.js";
import { addOutputOption, type OutputFormat } from "../output.js";

export function addDoctor(program: Command, context: Context): void {
  const command = program
    .command("doctor")
    .description(
      "Check engine, kernel, firewall and devices against what the mode needs; exit 1 when something is wrong.",
    )
    .addHelpText(
      "after",
      "\nExample:\n  fairway doctor --mode replace   # what would have to change first\n",
    );
  addConfigOptions(command, ["mode", "docker-host", "uplinks", "bpffs", "state-dir", "trust-firewall"]);
  addOutputOption(command).action(async (options: { output: OutputFormat }) => {
    const { config } = configOf(command, context);
    const { runDoctor } = await import("../doctor/doctor.js");
    await runDoctor(config, options.output, context);
  });
}
