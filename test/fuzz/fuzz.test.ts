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
/**
 * No more than this, however fast the machine: with one seed, the same packets everywhere. Longer runs, by hand, still find
 * a few differences in a million (docs/fuzzing.md); here a difference is one that a change has made.
 */
const mostPackets = 200_000;
/**
 * Differences that the same script does not show again are printed, and a few are borne: docker-proxy and the kernel's timers
 * act when they get to it, on each host at another moment.
 */
const mostUnrepeated = 3;
/** A run that did less says nothing: a machine that can't do this has no use for the suite. */
const leastPackets = 10_000;
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
    // At least a chapter, whatever the corpus took; the least number of packets decides then.
    seconds: Math.max(left(), 10),
    chapter: 0,
    differences: 1 + mostUnrepeated,
    progress: (text) => console.error(`  ${text}`),
  });
  console.error(asText(result));
  const repeated = result.found.filter(({ shrunk }) => shrunk !== undefined);
  if (repeated.length > 0 || result.found.length > mostUnrepeated)
    expect.fail(result.found.map(({ text }) => text).join("\n"));
  expect(result.packets).toBeGreaterThanOrEqual(leastPackets);
  const { fast, slow } = result.coverage;
  expect(fast / (fast + slow)).toBeGreaterThanOrEqual(leastFastShare);
});
