import { Command } from "commander";
import { addCleanup } from "./commands/cleanup.js";
import { addConfig } from "./commands/config.js";
import { addDemo } from "./commands/demo.js";
import { addDoctor } from "./commands/doctor.js";
import { addExplain } from "./commands/explain.js";
import { addHealthcheck } from "./commands/healthcheck.js";
import { addRun } from "./commands/run.js";
import { addStatus } from "./commands/status.js";
import type { Context } from "./context.js";
import { version } from "./package.js";
import { outcomeOf, stackWanted } from "./report.js";

/**
 * The whole command line. What a command does is loaded when it is run: a health check every few seconds needs no daemon.
 * Errors are thrown, never printed; see {@link runProgram}.
 */
export function makeProgram(context: Context): Command {
  const program = new Command("fairway");
  program
    .description(
      "An eBPF datapath for plain Docker hosts: fast, visible, and true to Docker's own behaviour.",
    )
    .version(`fairway ${version()}`, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .addHelpText(
      "after",
      "\nExample:\n  fairway run          # forward the traffic of this host's engine\n  fairway status\n",
    );
  // Before the subcommands, which inherit both.
  program.exitOverride().configureOutput({
    writeOut: (text) => context.out(text),
    writeErr: (text) => context.say(text.replace(/\n$/, "")),
    outputError: () => undefined,
  });
  for (const add of [
    addRun,
    addStatus,
    addExplain,
    addDoctor,
    addCleanup,
    addDemo,
    addHealthcheck,
    addConfig,
  ])
    add(program, context);
  return program;
}

/**
 * Runs one command line to its end.
 * @param argv without the interpreter and the script
 * @returns the exit code: 0 ok, 1 failure, 2 usage
 */
export async function runProgram(argv: readonly string[], context: Context): Promise<number> {
  try {
    await makeProgram(context).parseAsync(argv, { from: "user" });
    return 0;
  } catch (error) {
    const { exitCode, text } = outcomeOf(error, stackWanted(argv, context.environment));
    if (text !== undefined) context.say(text);
    return exitCode;
  }
}
