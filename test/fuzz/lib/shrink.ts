// Makes a script that shows a difference as short as it gets.

import type { Difference, Numbered, Runner } from "./runner.js";

/** A script and the difference that its last step shows. */
export interface Shrunk {
  readonly steps: readonly Numbered[];
  readonly difference: Difference;
}

/** Where a difference is, and which side has more: what must stay when steps are left out. */
function kind({ step, effects }: Difference): string {
  const places = (name: "docker" | "fairway") => effects[name].map(({ place }) => place).sort();
  return JSON.stringify([step.from, places("docker"), places("fairway")]);
}

/**
 * Leaves out steps while the last one still makes the same kind of difference.
 * @returns undefined when the script doesn't show it again even as it is
 */
export async function shrink(
  runner: Runner,
  played: readonly Numbered[],
  found: Difference,
  progress: (text: string) => void,
): Promise<Shrunk | undefined> {
  const wanted = kind(found);
  let difference = found;
  const last = played.findIndex(({ index }) => index === found.index);
  let tries = 200;
  const shows = async (steps: readonly Numbered[]): Promise<boolean> => {
    if (tries-- <= 0) return false;
    await runner.reset();
    const { differences } = await runner.play(steps);
    const same = differences.find((one) => one.index === found.index && kind(one) === wanted);
    if (same) difference = same;
    return same !== undefined;
  };

  let steps = played.slice(0, last + 1);
  const { flow } = found.step;
  if (flow !== undefined) {
    const own = steps.filter(({ step }) => step.kind !== "frame" || step.flow === flow);
    if (await shows(own)) steps = own;
  }
  const end = steps.at(-1);
  if (!end || !(await shows(steps))) return undefined;

  // Delta debugging: ever smaller pieces, as long as leaving one out changes nothing.
  for (let size = Math.ceil((steps.length - 1) / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = steps.length - 1 - size; at > -size; at -= size) {
      const from = Math.max(0, at);
      const without = [...steps.slice(0, from), ...steps.slice(Math.max(from, at + size))];
      if (without.length < steps.length && without.at(-1) === end && (await shows(without))) {
        steps = without;
        progress(`${steps.length} steps`);
      }
    }
  }
  await shows(steps);
  return { steps, difference };
}
