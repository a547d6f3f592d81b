import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, it } from "vitest";

const addon = join(import.meta.dirname, "../../../build/Release/fairway_native.node");

/** Resident MB of a process with 80 MB of blocks, and when all but the last of them were freed. */
const program = `
  const { readFileSync } = require("node:fs");
  const { setTimeout: sleep } = require("node:timers/promises");
  const resident = () => Number(/VmRSS:\\s+(\\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))[1]) / 1000;
  // Buffers are freed by another thread.
  const collected = () => sleep(200).then(gc).then(() => sleep(200));
  const blocks = (count, size) => Array.from({ length: count }, () => Buffer.allocUnsafeSlow(size).fill(1));
  async function main() {
    require(${JSON.stringify(addon)}).returnLargeBlocks(128 * 1024);
    // What is larger teaches the C library to keep smaller ones, if it is not told otherwise.
    blocks(1, 30_000_000);
    await collected();
    const before = resident();
    let many = blocks(400, 200_000);
    // The last stays: what lies before it is not at the heap's end.
    const kept = many.at(-1);
    const taken = resident() - before;
    many = undefined;
    await collected();
    console.log(JSON.stringify({ taken, left: resident() - before, kept: kept[0] }));
  }
  main();`;

it("large blocks that are freed are the kernel's again, also after larger ones were freed", () => {
  // A process of its own, without the sanitizers' allocator where this runs with them.
  const said = execFileSync(process.execPath, ["--expose-gc", "-e", program], { env: {}, encoding: "utf8" });
  const { taken, left, kept } = JSON.parse(said);
  expect(kept).toBe(1);
  expect(taken).toBeGreaterThan(60);
  expect(left).toBeLessThan(30);
});
