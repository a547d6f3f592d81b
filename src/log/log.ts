import { type DestinationStream, destination, type Logger, pino } from "pino";
import { prettyFactory } from "pino-pretty";
import { stripControls } from "./printable.js";

export interface LogOptions {
  format: "text" | "json";
  level: string;
  /** Where lines go; default: standard error. Written synchronously, so that the last line before an exit is there. */
  stream?: DestinationStream;
  /** Colours in text; default: a terminal without NO_COLOR. */
  color?: boolean;
}

/**
 * The daemon's log. JSON is one object a line with `time` (ISO 8601), `level` (a word) and `msg`; text is for people.
 * Both run in this process: a worker thread would lose the last lines of a crash.
 */
export function createLog(options: LogOptions): Logger {
  const stream = options.stream ?? destination({ dest: 2, sync: true });
  const json = {
    level: options.level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  if (options.format === "json") return pino(json, stream);
  const pretty = prettyFactory({
    colorize: options.color ?? colorWanted(process.stderr.isTTY, process.env),
    translateTime: "SYS:HH:MM:ss.l",
    singleLine: true,
    messageFormat: (log, key) => stripControls(String(log[key] ?? "")),
  });
  // pretty() as a function, not as a stream: that one would write a tick later and lose what is said before an exit.
  return pino(
    { level: options.level, base: null },
    { write: (line: string) => void stream.write(pretty(line) ?? "") },
  );
}

/** https://no-color.org: colours on a terminal, unless NO_COLOR is there and not empty. */
export function colorWanted(
  terminal: boolean | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): boolean {
  return terminal === true && (environment.NO_COLOR ?? "") === "";
}
