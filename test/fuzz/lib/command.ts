// What `npm run fuzz` does (scripts/fuzz.mjs reads its options).

import { basename, join } from "node:path";
import { root } from "../../lab/lib/index.js";
import { Fuzzer, type FuzzOptions, type FuzzResult, tell } from "./fuzz.js";
import { corpus, load, save } from "./saved.js";

export interface CommandOptions extends Omit<FuzzOptions, "progress"> {
  /** Files to play instead of random chapters; "corpus": all that are kept. */
  readonly replay: readonly string[];
  /** Says after each step of these what it caused and what conntrack knows. */
  readonly trace: boolean;
  /** Rules whose allowed differences are told. */
  readonly show: readonly string[];
}

/**
 * Plays, tells and keeps what it finds.
 * @returns how many differences there were that are not allowed
 */
export async function fuzzCommand(options: CommandOptions): Promise<number> {
  // The lab takes itself down and ends this process; what fails meanwhile is of no interest.
  let ending = false;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.once(signal, () => {
      ending = true;
    });
  try {
    return await play(options);
  } catch (error) {
    if (ending) await new Promise(() => {});
    throw error;
  }
}

async function play(options: CommandOptions): Promise<number> {
  const progress = (text: string) => console.error(`  ${text}`);
  progress(`seed ${options.seed}, IPv${options.families.join(" and IPv")}, engine ${options.engine}`);
  const fuzzer = await Fuzzer.create(options);
  fuzzer.runner.onAllowed = (name, difference) => {
    if (!options.show.includes(name)) return;
    console.log(`allowed by ${name}:\n${tell({ steps: [difference], difference })}`);
  };
  try {
    if (options.replay.length > 0) return await replay(fuzzer, options);
    const result = await fuzzer.fuzz({ ...options, progress });
    for (const { chapter, text, shrunk } of result.found) {
      console.log(`\n${text}`);
      if (!shrunk) continue;
      const path = join(root, `build/fuzz/found/seed-${options.seed}-chapter-${chapter}.json`);
      await save(path, { about: shrunk.difference.step.note, steps: shrunk.steps });
      console.log(`  kept: ${path}\n  again: npm run fuzz -- --replay ${path}`);
    }
    console.log(`\n${asText(result)}`);
    return result.found.length;
  } finally {
    await fuzzer.dispose();
  }
}

async function replay(fuzzer: Fuzzer, options: CommandOptions): Promise<number> {
  const files = (
    await Promise.all(options.replay.map((one) => (one === "corpus" ? corpus() : [one])))
  ).flat();
  let failed = 0;
  for (const file of files) {
    const { about, steps } = await load(file);
    if (options.trace) await fuzzer.trace(steps, (text) => console.log(text));
    const { differences, allowed } = await fuzzer.replay(steps);
    const [difference] = differences;
    if (difference) failed++;
    const names = allowed.size > 0 ? ` (allowed: ${[...allowed.keys()].join(", ")})` : "";
    console.log(`${difference ? "different" : "same"}  ${basename(file)}: ${about}${names}`);
    if (difference) console.log(tell({ steps, difference }));
  }
  return failed;
}

/** A run's figures. */
export function asText({ packets, seconds, coverage, allowed, found }: FuzzResult): string {
  const { fast, slow, reasons } = coverage;
  const list = (counts: Iterable<[string, number]>) =>
    [...counts]
      .filter(([, count]) => count > 0)
      .sort((a, b) => b[1] - a[1])
      .map(([name, count]) => `${name} ${count}`)
      .join(", ");
  return [
    `${packets} packets in ${seconds.toFixed(0)} s, ${Math.round(packets / seconds)}/s`,
    `fast ${fast}, slow ${slow}: ${((100 * fast) / (fast + slow)).toFixed(1)} % fast`,
    `reasons: ${list(reasons)}`,
    `allowed differences: ${list(allowed) || "none"}`,
    `differences: ${found.length}`,
  ].join("\n");
}
