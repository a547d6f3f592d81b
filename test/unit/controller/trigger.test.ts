import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Trigger } from "../../../src/controller/trigger.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function scene(workMs = 0) {
  const runs: { at: number; reasons: string[] }[] = [];
  const started = Date.now();
  let running = 0;
  const trigger = new Trigger(async (reasons) => {
    expect(++running).toBe(1);
    runs.push({ at: Date.now() - started, reasons });
    await new Promise((resolve) => setTimeout(resolve, workMs));
    running--;
  });
  return { trigger, runs };
}

describe("Trigger", () => {
  it("makes one run of a burst, 50 ms after its end", async () => {
    const { trigger, runs } = scene();
    for (let i = 0; i < 5; i++) {
      trigger.fire("events");
      await vi.advanceTimersByTimeAsync(20);
    }
    trigger.fire("netlink");
    await vi.advanceTimersByTimeAsync(1000);
    expect(runs).toEqual([{ at: 150, reasons: ["events", "netlink"] }]);
  });

  it("waits no longer than 500 ms for a burst to end", async () => {
    const { trigger, runs } = scene();
    for (let i = 0; i < 60; i++) {
      trigger.fire("events");
      await vi.advanceTimersByTimeAsync(20);
    }
    expect(runs.map((r) => r.at)).toEqual([500, 1000]);
  });

  it("does not wait when it is urgent", async () => {
    const { trigger, runs } = scene();
    trigger.fire("events");
    trigger.fire("netlink", true);
    await vi.advanceTimersByTimeAsync(1);
    expect(runs).toMatchObject([{ reasons: ["events", "netlink"] }]);
  });

  it("never runs twice at a time; what comes meanwhile is one more run", async () => {
    const { trigger, runs } = scene(300);
    trigger.fire("a", true);
    await vi.advanceTimersByTimeAsync(10);
    for (const reason of ["b", "c", "b"]) trigger.fire(reason, true);
    await vi.advanceTimersByTimeAsync(2000);
    expect(runs).toMatchObject([{ reasons: ["a"] }, { reasons: ["b", "c"] }]);
    // Urgent: at once when the first has ended.
    expect((runs[1]?.at ?? 0) - (runs[0]?.at ?? 0)).toBeLessThanOrEqual(302);
  });

  it("closes after the run that is under way, and begins none", async () => {
    const { trigger, runs } = scene(300);
    trigger.fire("a", true);
    await vi.advanceTimersByTimeAsync(10);
    trigger.fire("b");
    let closed = false;
    void trigger.close().then(() => {
      closed = true;
    });
    await vi.advanceTimersByTimeAsync(100);
    expect(closed).toBe(false);
    await vi.advanceTimersByTimeAsync(1000);
    expect(closed).toBe(true);
    trigger.fire("c", true);
    await vi.advanceTimersByTimeAsync(1000);
    expect(runs.length).toBe(1);
  });
});
