import type { Environment } from "../config/environment.js";

/** What a command has of its process. Standard output is for data, standard error for talk. */
export interface Context {
  environment: Environment;
  /** Writes data, as it is. */
  out(text: string): void;
  /** Says one line to a person. */
  say(line: string): void;
  /** Whether data may be coloured: a terminal, and no NO_COLOR. */
  color: boolean;
}
