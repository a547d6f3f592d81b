// The fuzzer's share of `npm test`: what it found once, then random packets, two minutes at most.

import { basename } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { asText } from "./lib/command.js";
import { Fuzzer, tell } from "./lib/fuzz.js";
import { corpus, load } from "./lib/saved.js";

/** All of it, the two hosts' coming up and going included. */
const budgetSeconds = 120;
/** What taking the hosts down, and shrinking what was found, may need of it. */
const reserveSeconds = 20;
/** No more than this, however fast the machine: with one seed, the same packets everywhere. */
const mostPackets = 200_000;
/** No fewer, however slow it is: fewer say nothing. */
const leastPackets = 10_000;
/** A run that finds so many ends: there is enough to look at. */
const mostDifferences = 5;
const leastFastShare = 0.5;
const seed = Number(process.env.FAIRWAY_FUZZ_SEED ?? 1);

const began = Date.now();
const left = () => budgetSeconds - reserveSeconds - (Date.now() - began) / 1000;
let fuzzer: Fuzzer;

beforeAll(async () => {
  fuzzer = await Fuzzer.create({ engine: "29", proxy: true, families: [4, 6] });
});
afterAll(() => fuzzer?.dispose());

test.each((await corpus()).map((path) => [basename(path), path] as const))("%s", async (_, path) => {
  const { steps } = await load(path);
  const { differences, allowed, arrivals } = await fuzzer.replay(steps);
  const [difference] = differences;
  if (difference) expect.fail(tell({ steps, difference }));
  // What was found once is the same on both hosts, not merely allowed to differ.
  expect([...allowed]).toEqual([]);
  expect(arrivals).toBeGreaterThan(0);
});

test(`random packets, seed ${seed}`, async () => {
  const result = await fuzzer.fuzz({
    seed,
    engine: "29",
    proxy: true,
    families: [4, 6],
    packets: mostPackets,
    seconds: left(),
    atLeast: leastPackets,
    chapter: 0,
    differences: mostDifferences,
    progress: (text) => console.error(`  ${text}`),
  });
  console.error(asText(result));
  const repeated = result.found.filter(({ shrunk }) => shrunk !== undefined);
  if (repeated.length > 0) expect.fail(repeated.map(({ text }) => text).join("\n"));
  // What the same script does not show again is a timer's, or another process's, on a machine that is busy: told, not a failure.
  for (const { text } of result.found) console.error(text);
  expect(result.packets).toBeGreaterThanOrEqual(leastPackets);
  const { fast, slow } = result.coverage;
  expect(fast / (fast + slow)).toBeGreaterThanOrEqual(leastFastShare);
});
