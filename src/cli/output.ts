import { type Command, Option } from "commander";
import { stringify } from "yaml";
import type { Context } from "./context.js";

export const OUTPUT_FORMATS = ["table", "json", "yaml"] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** Adds -o/--output to a command that prints data. */
export function addOutputOption(command: Command): Command {
  return command.addOption(
    new Option("-o, --output <format>", "how to print").choices(OUTPUT_FORMATS).default("table"),
  );
}

/** Prints data to standard output as asked for; `people` makes the text of `table`. */
export function print(context: Context, format: OutputFormat, data: unknown, people: () => string): void {
  context.out(render(format, data, people));
}

function render(format: OutputFormat, data: unknown, people: () => string): string {
  if (format === "table") return people();
  const json = JSON.stringify(data, plain, 2);
  return format === "json" ? `${json}\n` : stringify(JSON.parse(json), { lineWidth: 0 });
}

/** Counters are 64 bits wide; a JSON number holds 53 of them, which are 285 years of packets at a million a second. */
function plain(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? Number(value) : value;
}
