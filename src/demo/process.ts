import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, closeSync, constants, openSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { errorMessage, UserError } from "../errors.js";

/** PATH with the directories that root's has and a user's may lack. */
export const searchPath = [
  ...new Set([
    ...(process.env.PATH ?? "").split(delimiter).filter((directory) => directory !== ""),
    ...["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"],
  ]),
];

/** The environment of what a demo starts: without the user's settings of fairway and of Docker. */
export function childEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => name === "FAIRWAY_NATIVE" || !/^(FAIRWAY|DOCKER)_/.test(name),
  );
  return { ...Object.fromEntries(kept), PATH: searchPath.join(delimiter) };
}

/** Where a program is; undefined when it is not installed. */
export function which(program: string): string | undefined {
  return searchPath.map((directory) => join(directory, program)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export interface Output {
  code: number | null;
  stdout: string;
  stderr: string;
}

/**
 * Runs a command to its end, at most `limitMs`.
 * @throws Error with the command and its last line of output when it fails
 */
export async function run(command: readonly string[], limitMs = 30_000): Promise<string> {
  const { code, stdout, stderr } = await output(command, limitMs);
  if (code === 0) return stdout;
  const last = (stderr.trim() || stdout.trim()).split("\n").at(-1) ?? "";
  throw new Error(`${command.join(" ")}: ${last === "" ? `exit code ${code}` : last}`);
}

/** {@link run} that leaves the judgement to the caller. */
export function output(command: readonly string[], limitMs = 30_000): Promise<Output> {
  return new Promise((resolve, reject) => {
    const [program = "", ...args] = command;
    // A group of its own: Ctrl-C is the demo's to deal with, in its order.
    const child = spawn(program, args, {
      env: childEnvironment(),
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), limitMs);
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(new Error(`${program}: ${errorMessage(error)}`));
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve({ code, stdout, stderr });
    });
  });
}

/** A command inside a network namespace of `ip netns`. Not `ip netns exec`: that one hides the cgroups from an engine. */
export function inside(namespace: string, command: readonly string[]): string[] {
  return ["nsenter", `--net=/var/run/netns/${namespace}`, ...command];
}

/** A program that runs until it is stopped; what it says goes to a file. It ends with the demo, however that ends. */
export class Background {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #failure: string | undefined;

  constructor(
    readonly name: string,
    command: readonly string[],
    readonly logFile: string,
  ) {
    const log = openSync(logFile, "a");
    const [program = "", ...args] = ["setpriv", "--pdeathsig", "TERM", ...command];
    this.#child = spawn(program, args, {
      env: childEnvironment(),
      stdio: ["ignore", log, log],
      detached: true,
    });
    closeSync(log);
    this.#ended = new Promise((resolve) => {
      this.#child.once("exit", () => resolve());
      this.#child.once("error", (error) => {
        this.#failure = errorMessage(error);
        resolve();
      });
    });
  }

  get running(): boolean {
    return this.#failure === undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** The last lines that it said. */
  tail(lines = 5): string {
    return readFileSync(this.logFile, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
  }

  /**
   * Waits until `ready` holds.
   * @throws UserError when the program ends before, or the time is over
   */
  async until(ready: () => Promise<boolean> | boolean, limitMs: number, signal: AbortSignal): Promise<void> {
    const deadline = Date.now() + limitMs;
    while (!(await ready())) {
      signal.throwIfAborted();
      if (!this.running) throw this.#trouble("ended");
      if (Date.now() > deadline) throw this.#trouble(`was not ready within ${limitMs / 1000} s`);
      await sleep(50);
    }
  }

  #trouble(what: string): UserError {
    const last = this.#failure ?? this.tail(1);
    return new UserError(`${this.name} ${what}: ${last}`);
  }

  /** Asks it to end, insists after `graceMs`, and waits until it has. */
  async stop(graceMs = 20_000): Promise<void> {
    if (!this.running) return;
    this.#child.kill("SIGTERM");
    const insist = setTimeout(() => this.#child.kill("SIGKILL"), graceMs);
    await this.#ended;
    clearTimeout(insist);
  }
}
