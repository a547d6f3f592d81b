import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Epoch } from "../../../src/datapath/epoch.js";
import { fakeMaps } from "./scene.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function scene(epoch = 7) {
  const { maps } = fakeMaps();
  maps.control.set(0, { epoch, nextGeneration: 9, policy: 3 });
  return { epoch: new Epoch(maps.control), now: () => maps.control.get(0) };
}

it("is another each time, never 0, and nothing else changes with it", () => {
  const { epoch, now } = scene();
  expect(epoch.raise()).toBe(8);
  expect(now()).toEqual({ epoch: 8, nextGeneration: 9, policy: 3 });
  const last = scene(0xffffffff);
  expect(last.epoch.raise()).toBe(1);
});

it("is raised once more for what was judged before and is learned after it", () => {
  const { epoch, now } = scene();
  epoch.raiseTwice();
  // What a stalled packet makes now bears this one.
  expect(now()?.epoch).toBe(8);
  vi.advanceTimersByTime(50);
  expect(now()?.epoch).toBe(8);
  vi.advanceTimersByTime(100);
  expect(now()?.epoch).toBe(9);
  vi.advanceTimersByTime(10_000);
  expect(now()?.epoch).toBe(9);
});

it("is raised once more after the last of several", () => {
  const { epoch, now } = scene();
  epoch.raiseTwice();
  vi.advanceTimersByTime(60);
  epoch.raiseTwice();
  vi.advanceTimersByTime(60);
  expect(now()?.epoch).toBe(9);
  vi.advanceTimersByTime(60);
  expect(now()?.epoch).toBe(10);
});

it("is raised at once where the end comes before its time, and not where nothing was to come", () => {
  const { epoch, now } = scene();
  epoch.raiseTwice();
  epoch.close();
  expect(now()?.epoch).toBe(9);
  epoch.close();
  vi.advanceTimersByTime(10_000);
  expect(now()?.epoch).toBe(9);
});
