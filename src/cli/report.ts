import { CommanderError } from "commander";
import type { Environment } from "../config/environment.js";
import { errorMessage, UserError } from "../errors.js";
import { stripControls } from "../log/printable.js";

/** How a command ended. */
export interface Outcome {
  exitCode: number;
  /** For standard error; undefined where everything is said already. */
  text: string | undefined;
}

/**
 * What to tell about an error, and the exit code: 1 failure, 2 usage. Always one line, with a stack trace after it only
 * where somebody asked for debug output.
 * @param stack whether the log level is debug or trace
 */
export function outcomeOf(error: unknown, stack: boolean): Outcome {
  if (error instanceof CommanderError) return usage(error);
  const trace = stack && error instanceof Error ? `\n${error.stack}${causes(error)}` : "";
  if (error instanceof UserError) {
    return { exitCode: error.exitCode, text: `fairway: ${stripControls(error.message)}${trace}` };
  }
  const more = stack ? "" : "; run with --log-level debug for the stack";
  return { exitCode: 1, text: `fairway: ${stripControls(errorMessage(error))}${more}${trace}` };
}

/** Commander's own: help and version (said already), or a slip on the command line with the nearest name. */
function usage(error: CommanderError): Outcome {
  if (error.exitCode === 0) return { exitCode: 0, text: undefined };
  // Help that was shown because no command was given.
  if (error.code === "commander.help") return { exitCode: 2, text: undefined };
  const line = error.message.replace(/^error: /, "").replace(/\s*\n\s*\(Did/g, " (did");
  return { exitCode: 2, text: `fairway: ${stripControls(line)}` };
}

function causes(error: Error): string {
  return error.cause instanceof Error ? `\ncaused by ${error.cause.stack}${causes(error.cause)}` : "";
}

/** Whether the command line or the environment asks for debug output; asked when the options may not be parsed yet. */
export function stackWanted(argv: readonly string[], environment: Environment): boolean {
  const wanted = (level: string | undefined) => level === "debug" || level === "trace";
  const index = argv.lastIndexOf("--log-level");
  if (index >= 0) return wanted(argv[index + 1]);
  const joined = argv.findLast((argument) => argument.startsWith("--log-level="));
  return wanted(joined === undefined ? environment.FAIRWAY_LOG_LEVEL : joined.slice("--log-level=".length));
}
