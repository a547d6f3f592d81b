import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { endingSignal } from "../../../src/cli/signals.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

test("a signal that npm passes on once more is the same wish, a later one ends at once", async () => {
  const exit = vi.spyOn(process, "exit").mockImplementation((() => undefined) as never);
  const ending = endingSignal();
  process.emit("SIGINT", "SIGINT");
  process.emit("SIGINT", "SIGINT");
  vi.advanceTimersByTime(400);
  process.emit("SIGTERM", "SIGTERM");
  expect(await ending.signalled).toBe("SIGINT");
  expect(exit).not.toHaveBeenCalled();
  vi.advanceTimersByTime(200);
  process.emit("SIGINT", "SIGINT");
  expect(exit).toHaveBeenCalledExactlyOnceWith(130);
  ending.release();
});
