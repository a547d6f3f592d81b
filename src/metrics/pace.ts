import { setImmediate } from "node:timers/promises";

/** After so long the others have their turn; what lies between two steps comes on top. */
const TURN_MS = 2;

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
