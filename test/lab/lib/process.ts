// Running programs: to their end, or in the background with their output kept.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

/** Times to wait are this much longer: on a machine whose processor is emulated everything takes its time (test/vm). */
export const patience = Number(process.env.FAIRWAY_LAB_PATIENCE ?? 1);

/** What a finished program left. */
export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Options for a program. */
export interface RunOptions {
  /** Added to the environment; undefined removes a variable. */
  readonly env?: Record<string, string | undefined>;
  /** Given on standard input, then closed. */
  readonly input?: string | Uint8Array;
  /** Milliseconds after which the program is ended by SIGKILL and the call fails; 60 s unless told. */
  readonly timeout?: number;
  /** True: another exit status than 0 is a result, not an error. */
  readonly mayFail?: boolean;
}

/** A program that failed, with the end of what it said. */
export class CommandError extends Error {
  constructor(
    command: readonly string[],
    readonly result: Result,
    why: string,
  ) {
    const said = (result.stderr.trim() || result.stdout.trim()).split("\n").slice(-20).join("\n");
    super(`${command.join(" ")}: ${why}${said ? `\n${said}` : ""}`);
    this.name = "CommandError";
  }
}

/**
 * Runs a program to its end.
 * @param command program and arguments, no shell
 * @throws CommandError when it fails (unless mayFail) or takes too long
 */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<Result> {
  const child = new Background(command, options);
  const timeout = (options.timeout ?? 60_000) * patience;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, timeout);
  const code = await child.exited;
  clearTimeout(timer);
  const result = { code, stdout: child.stdout, stderr: child.stderr };
  if (late) throw new CommandError(command, result, `not done after ${timeout} ms`);
  if (code !== 0 && !options.mayFail) throw new CommandError(command, result, `exit status ${code}`);
  return result;
}

/** Options for a program in the background. */
export interface BackgroundOptions extends RunOptions {
  /** Called with each piece of its output. */
  readonly onOutput?: (text: string) => void;
  /** Its standard input stays open, for write(). */
  readonly talk?: boolean;
}

/** A program in the background. Its output is kept; lines can be waited for. */
export class Background {
  stdout = "";
  stderr = "";
  /** Resolves with the exit status when it has ended and its output is complete; 128 + n for signal n, 127 not started. */
  readonly exited: Promise<number>;
  #child: ChildProcess;
  #ended = false;
  #onOutput = new Set<() => void>();

  constructor(
    readonly command: readonly string[],
    options: BackgroundOptions = {},
  ) {
    const [program = "", ...args] = command;
    const env = { ...process.env, ...options.env };
    const piped = options.input !== undefined || options.talk === true;
    this.#child = spawn(program, args, { env, stdio: [piped ? "pipe" : "ignore", "pipe", "pipe"] });
    const keep = (stream: "stdout" | "stderr") => (chunk: string) => {
      this[stream] += chunk;
      options.onOutput?.(chunk);
      for (const wake of this.#onOutput) wake();
    };
    this.#child.stdout?.setEncoding("utf8").on("data", keep("stdout"));
    this.#child.stderr?.setEncoding("utf8").on("data", keep("stderr"));
    this.#child.stdin?.on("error", () => {}); // It may end before it has read everything.
    if (options.input !== undefined) this.#child.stdin?.end(options.input);
    this.exited = new Promise((resolve) => {
      this.#child.once("error", (error) => {
        this.stderr += `${error.message}\n`;
        this.#end(resolve, 127);
      });
      this.#child.once("close", (code, signal) =>
        this.#end(resolve, code ?? 128 + (signal ? (signalNumbers[signal] ?? 0) : 0)),
      );
    });
  }

  #end(resolve: (code: number) => void, code: number): void {
    this.#ended = true;
    resolve(code);
    for (const wake of this.#onOutput) wake();
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get running(): boolean {
    return !this.#ended;
  }

  /** Gives it more on standard input; only with `talk`. */
  write(text: string): void {
    this.#child.stdin?.write(text);
  }

  kill(signal: NodeJS.Signals = "SIGTERM"): void {
    if (this.running) this.#child.kill(signal);
  }

  /** Ends it: SIGTERM (or another), and SIGKILL if it is still there after `grace` milliseconds. */
  async stop(signal: NodeJS.Signals = "SIGTERM", grace = 10_000): Promise<number> {
    this.kill(signal);
    const timer = setTimeout(() => this.kill("SIGKILL"), grace);
    const code = await this.exited;
    clearTimeout(timer);
    return code;
  }

  /**
   * Waits until the output so far matches.
   * @throws CommandError when it ends first, or `timeout` milliseconds pass
   */
  async waitFor(
    pattern: RegExp,
    options: { stream?: "stdout" | "stderr"; timeout?: number } = {},
  ): Promise<RegExpMatchArray> {
    const { stream = "stdout" } = options;
    const timeout = (options.timeout ?? 20_000) * patience;
    const signal = AbortSignal.timeout(timeout);
    for (;;) {
      const found = this[stream].match(pattern);
      if (found) return found;
      const result = { code: -1, stdout: this.stdout, stderr: this.stderr };
      if (!this.running) throw new CommandError(this.command, result, `ended before it printed ${pattern}`);
      if (signal.aborted)
        throw new CommandError(this.command, result, `${pattern} not seen in ${timeout} ms`);
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#onOutput.delete(wake);
          signal.removeEventListener("abort", wake);
          resolve();
        };
        this.#onOutput.add(wake);
        signal.addEventListener("abort", wake);
      });
    }
  }

  /** Waits for its first sign that it runs. */
  async started(): Promise<void> {
    if (this.#child.pid === undefined && this.running) await once(this.#child, "spawn");
  }
}

const signalNumbers: Partial<Record<NodeJS.Signals, number>> = {
  SIGINT: 2,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};

/** Waits until `check` gives something that is neither false nor undefined, asking every `every` milliseconds. */
export async function until<T>(
  what: string,
  check: () => Promise<T | undefined | false> | T | undefined | false,
  options: { timeout?: number; every?: number } = {},
): Promise<T> {
  const { every = 50 } = options;
  const timeout = (options.timeout ?? 20_000) * patience;
  const deadline = Date.now() + timeout;
  for (;;) {
    const found = await check();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeout} ms`);
    await sleep(every);
  }
}

/** Resolves after some milliseconds. */
export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
