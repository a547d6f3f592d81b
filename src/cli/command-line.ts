import { errorCode } from "../errors.js";
import { colorWanted } from "../log/log.js";
import type { Context } from "./context.js";
import { runProgram } from "./program.js";
import { outcomeOf, stackWanted } from "./report.js";

const argv = process.argv.slice(2);
const context: Context = {
  environment: process.env,
  out: (text) => void process.stdout.write(text),
  say: (line) => void process.stderr.write(`${line}\n`),
  color: colorWanted(process.stdout.isTTY, process.env),
};

// `fairway status | head -1` is no failure.
process.stdout.on("error", (error) => process.exit(errorCode(error) === "EPIPE" ? 0 : 1));
// Nobody reads what we say: no reason to end.
process.stderr.on("error", () => undefined);

process.on("uncaughtException", fail);
process.on("unhandledRejection", fail);

function fail(error: unknown): void {
  const { text } = outcomeOf(error, stackWanted(argv, process.env));
  context.say(text ?? "fairway: failed");
  process.exit(1);
}

process.exit(await runProgram(argv, context));
