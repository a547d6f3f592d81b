import { describe, expect, it } from "vitest";
import { Backoff, sleep } from "../../../src/controller/backoff.js";

describe("Backoff", () => {
  it("doubles from the first to the most", () => {
    const backoff = new Backoff(100, 10_000, () => 1);
    const waits = Array.from({ length: 9 }, () => backoff.next());
    expect(waits).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    backoff.reset();
    expect(backoff.next()).toBe(100);
  });

  it("spreads each wait over its second half", () => {
    expect(new Backoff(100, 1000, () => 0).next()).toBe(50);
    expect(new Backoff(100, 1000, () => 0.5).next()).toBe(75);
  });
});

describe("sleep", () => {
  it("ends early when it is called off", async () => {
    const abort = new AbortController();
    const started = performance.now();
    setTimeout(() => abort.abort(), 10);
    await sleep(10_000, abort.signal);
    await sleep(10_000, abort.signal);
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});
