// Scripts as files: what was found and shrunk, kept in test/fuzz/corpus and played first by the suite.

import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { root } from "../../lab/lib/index.js";
import type { Numbered } from "./runner.js";
import type { FrameStep, Step } from "./script.js";

/** A script and what it is about. */
export interface Saved {
  readonly about: string;
  readonly steps: readonly Numbered[];
}

export const corpusDir = join(root, "test/fuzz/corpus");

type FrameInFile = Omit<FrameStep, "frame"> & { readonly frame: string };
type StepInFile = { readonly index: number } & (Exclude<Step, FrameStep> | FrameInFile);

/** A script as the text of its file: a line for each step, frames in hex. */
export function toText({ about, steps }: Saved): string {
  const lines = steps.map(({ index, step }) => {
    const line: StepInFile =
      step.kind === "frame"
        ? { index, ...step, frame: Buffer.from(step.frame).toString("hex") }
        : { index, ...step };
    return `    ${JSON.stringify(line)}`;
  });
  return `{\n  "about": ${JSON.stringify(about)},\n  "steps": [\n${lines.join(",\n")}\n  ]\n}\n`;
}

/** Reads a script's text. */
export function fromText(text: string): Saved {
  const { about, steps } = JSON.parse(text) as { about: string; steps: StepInFile[] };
  return {
    about,
    steps: steps.map(({ index, ...step }) => ({
      index,
      step: step.kind === "frame" ? { ...step, frame: new Uint8Array(Buffer.from(step.frame, "hex")) } : step,
    })),
  };
}

/** Writes a script, and its directory where there is none. */
export async function save(path: string, saved: Saved): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, toText(saved));
}

export async function load(path: string): Promise<Saved> {
  return fromText(await readFile(path, "utf8"));
}

/** The corpus's files, by name. */
export async function corpus(): Promise<string[]> {
  // Git keeps no empty directory: until something is kept, there is none.
  const names = existsSync(corpusDir) ? await readdir(corpusDir) : [];
  return names
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map((name) => join(corpusDir, name));
}
