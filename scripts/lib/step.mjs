// Steps: one line each with its elapsed time, skipped when the result is current, and a useful end when one fails.

import { fingerprint, forget, isCurrent, markCurrent } from "./current.mjs";
import { Failure } from "./run.mjs";

const started = Date.now();
const terminal = process.stderr.isTTY === true;
let announced = "";

/** @param {number} ms */
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

/** @param {string} text */
const say = (text) => void process.stderr.write(text);

/**
 * @typedef {object} Step
 * @property {string} name what is being done, as the user sees it
 * @property {() => boolean | Promise<boolean>} [done] true: nothing to do
 * @property {{ files: string[], more?: unknown, outputs: string[] }} [from] nothing to do when these are as at the last success
 * @property {(progress: (line: string) => void) => unknown} work does it; throws Failure
 * @property {string} [remedy] what to do when it fails, if the failure doesn't say
 */

/**
 * Does a step unless its result is current.
 * @param {Step} step
 * @returns {Promise<boolean>} true when there was something to do
 * @throws {Failure}
 */
export async function step({ name, done, from, work, remedy }) {
  const print = from && fingerprint(from.files, from.more);
  if ((from && print && isCurrent(name, print, from.outputs)) || (await done?.())) {
    say(`- ${name}: current\n`);
    return false;
  }
  const begin = Date.now();
  let last = "";
  const show = () => {
    const line = `> ${name}... ${seconds(Date.now() - begin)} ${last}`;
    say(`\r\x1b[K${line.slice(0, (process.stderr.columns ?? 80) - 1)}`);
  };
  // Without a terminal (CI, a log file) a sign of life every half minute does.
  const timer = setInterval(
    terminal ? show : () => say(`  ... ${name}: ${seconds(Date.now() - begin)} ${last}\n`),
    terminal ? 200 : 30_000,
  );
  timer.unref();
  if (!terminal) say(`> ${name}\n`);
  try {
    forget(name);
    await work((line) => {
      last = line;
    });
    if (print) markCurrent(name, print);
  } catch (error) {
    if (error instanceof Failure) {
      error.detail.remedy ??= remedy;
      announced = name;
    }
    throw error;
  } finally {
    clearInterval(timer);
    if (terminal) say("\r\x1b[K");
  }
  say(`+ ${name}: ${seconds(Date.now() - begin)}\n`);
  return true;
}

/** Time since this command began, for a closing line. */
export function elapsed() {
  return seconds(Date.now() - started);
}

/**
 * Prints a failure: the command, its last lines, what to do.
 * @param {unknown} error
 */
export function report(error) {
  if (error instanceof TypeError && String(Reflect.get(error, "code")).startsWith("ERR_PARSE_ARGS")) {
    say(`error: ${error.message.split("\n", 1)[0]}\n`);
    return;
  }
  if (!(error instanceof Failure)) {
    say(`error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return;
  }
  const { command, output, remedy } = error.detail;
  if (output) {
    const lines = output.trimEnd().split("\n").slice(-25);
    say(`${lines.map((line) => `  | ${line}`).join("\n")}\n`);
  }
  if (command) say(`  command: ${command}\n`);
  say(`error: ${announced ? `${announced}: ` : ""}${error.message}${remedy ? `; ${remedy}` : ""}\n`);
}

/**
 * The body of a script: runs it, turns a failure into lines for people and exit status 1.
 * @param {() => unknown} body
 */
export async function main(body) {
  try {
    await body();
  } catch (error) {
    report(error);
    process.exitCode = 1;
  }
}

/**
 * Is this module the one that was started, and not an import of another script?
 * @param {string} url import.meta.url
 */
export function isMain(url) {
  return process.argv[1] !== undefined && url === new URL(`file://${process.argv[1]}`).href;
}
