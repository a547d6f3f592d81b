// Running commands: output captured, last lines kept for the error.

import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { root } from "./paths.mjs";

/** A failure with a message for people and, where there is one, the remedy. Never shown with a stack trace. */
export class Failure extends Error {
  /**
   * @param {string} message what went wrong, one line
   * @param {{ command?: string, output?: string, remedy?: string }} [detail]
   */
  constructor(message, detail = {}) {
    super(message);
    this.detail = detail;
  }
}

/**
 * @typedef {object} RunOptions
 * @property {string} [cwd] working directory, the repository by default
 * @property {Record<string, string | undefined>} [env] added to the environment
 * @property {string} [remedy] what to do when it fails
 * @property {(line: string) => void} [onLine] called with each line of output
 */

/** @param {string[]} command */
const quoted = (command) =>
  command.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word}'`)).join(" ");

/**
 * Runs a command to its end and returns what it printed (stdout and stderr together).
 * @param {string[]} command program and arguments, no shell
 * @param {RunOptions} [options]
 * @returns {Promise<string>}
 * @throws {Failure} when it can't be started or exits with another status than 0
 */
export function run(command, options = {}) {
  const [program, ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd ?? root,
      env: { ...process.env, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    let rest = "";
    /** @param {Buffer} chunk */
    const take = (chunk) => {
      const text = chunk.toString();
      output += text;
      const lines = (rest + text).split(/[\r\n]+/);
      rest = lines.pop() ?? "";
      if (options.onLine) for (const line of lines) if (line.trim()) options.onLine(line.trim());
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.on("error", (error) =>
      reject(new Failure(`can't run ${program}: ${error.message}`, { ...options })),
    );
    child.on("close", (status, signal) => {
      if (status === 0) resolve(output);
      else {
        const how = signal ? `was ended by ${signal}` : `failed with status ${status}`;
        reject(
          new Failure(`${program} ${how}`, { command: quoted(command), output, remedy: options.remedy }),
        );
      }
    });
  });
}

/**
 * Runs a command with our own terminal, for those whose output people follow.
 * @param {string[]} command
 * @param {RunOptions} [options]
 * @returns {Promise<number>} its exit status; 128 + n when signal n ended it
 */
export function runVisible(command, options = {}) {
  const [program, ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd ?? root,
      env: { ...process.env, ...options.env },
      stdio: "inherit",
    });
    // A terminal sends its Ctrl-C to the child as well; a kill of this process alone is passed on.
    /** @type {NodeJS.Signals[]} */
    const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
    /** @param {NodeJS.Signals} signal */
    const pass = (signal) => {
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    };
    for (const signal of signals) process.on(signal, pass);
    child.on("error", (error) => reject(new Failure(`can't run ${program}: ${error.message}`)));
    child.on("close", (status, signal) => {
      for (const name of signals) process.off(name, pass);
      resolve(status ?? 128 + (signal === "SIGINT" ? 2 : signal === "SIGKILL" ? 9 : 15));
    });
  });
}

/**
 * What a short command prints, or undefined when it fails or is missing. For questions, not for work.
 * @param {string[]} command
 * @returns {string | undefined}
 */
export function ask(command) {
  const [program, ...args] = command;
  const result = spawnSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

/**
 * The path of a program in PATH (and in the directories that hold root's tools).
 * @param {string} name
 * @returns {string | undefined}
 */
export function which(name) {
  const directories = (process.env.PATH ?? "").split(delimiter);
  for (const directory of [...directories, "/usr/local/sbin", "/usr/sbin", "/sbin"]) {
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here: the next one.
    }
  }
  return undefined;
}

/**
 * The numbers of the first dotted version in a text.
 * @param {string | undefined} text
 * @returns {number[] | undefined}
 */
export function versionIn(text) {
  return text
    ?.match(/\d+(?:\.\d+)+/)?.[0]
    .split(".")
    .map(Number);
}

/**
 * Is a version at least another?
 * @param {number[] | undefined} version
 * @param {number[]} least
 */
export function atLeast(version, least) {
  if (!version) return false;
  for (let i = 0; i < least.length; i++) {
    const difference = (version[i] ?? 0) - least[i];
    if (difference !== 0) return difference > 0;
  }
  return true;
}
