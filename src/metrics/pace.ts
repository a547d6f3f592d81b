import { setImmediate } from "node:timers/promises";

/** After so long the others have their turn; what lies between two steps comes on top. */
const TURN_MS = 2;

/**
 * Uses items one after the other, in steps.
 * @param batches where they come from; each is a step on its own
 * @param atOnce so many are used in one step: a fraction of a millisecond's worth
 */
export function* inSteps<T>(
  batches: Iterable<readonly T[]>,
  atOnce: number,
  use: (item: T) => void,
): Generator<void> {
  for (const batch of batches) {
    yield;
    for (let from = 0; from < batch.length; from += atOnce) {
      useSome(batch, from, Math.min(from + atOnce, batch.length), use);
      yield;
    }
  }
}

/** No generator, and no for..of: within one V8 makes an object for each item, a megabyte for a large host's scrape. */
function useSome<T>(items: readonly T[], from: number, to: number, use: (item: T) => void): void {
  for (let at = from; at < to; at++) use(items[at] as T);
}

/**
 * Takes the steps of some work one after the other, and lets timers and sockets have their turn every 2 ms, and at the end: what comes
 * next begins with a turn of its own.
 * @returns the longest time without a pause, in ms
 */
export async function paced(
  steps: Iterable<unknown> | AsyncIterable<unknown>,
  now = () => performance.now(),
): Promise<number> {
  let turn = now();
  let longest = 0;
  for await (const _ of steps) {
    const held = now() - turn;
    if (held < TURN_MS) continue;
    longest = Math.max(longest, held);
    await setImmediate();
    turn = now();
  }
  longest = Math.max(longest, now() - turn);
  await setImmediate();
  return longest;
}
