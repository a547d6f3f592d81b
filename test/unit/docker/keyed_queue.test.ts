import { expect, it } from "vitest";
import { KeyedQueue } from "../../../src/docker/keyed_queue.js";

/** A queue whose works end when they are told to. */
function scene(limit: number) {
  const began: string[] = [];
  const ends = new Map<string, (error?: Error) => void>();
  const queue = new KeyedQueue((key) => {
    began.push(key);
    return new Promise<void>((resolve, reject) => {
      ends.set(key, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }, limit);
  return { queue, began, end: (key: string, error?: Error) => ends.get(key)?.(error) };
}

it("runs a key once for all that ask before it begins, and once more for all that ask meanwhile", async () => {
  const { queue, began, end } = scene(1);
  const first = queue.ask("a");
  const waiting = [queue.ask("b"), queue.ask("b")];
  const again = [queue.ask("a"), queue.ask("a")];
  expect(began).toEqual(["a"]);
  end("a");
  await first;
  expect(began).toEqual(["a", "b"]);
  end("b");
  await Promise.all(waiting);
  expect(began).toEqual(["a", "b", "a"]);
  end("a");
  await Promise.all(again);
  expect(began).toEqual(["a", "b", "a"]);
});

it("runs no more than its limit at a time, in the order of asking", async () => {
  const { queue, began, end } = scene(2);
  const all = ["a", "b", "c", "d"].map((key) => queue.ask(key));
  expect(began).toEqual(["a", "b"]);
  end("b");
  await all[1];
  expect(began).toEqual(["a", "b", "c"]);
});

it("tells who asked what it threw, and goes on", async () => {
  const { queue, began, end } = scene(1);
  const [a, b] = [queue.ask("a"), queue.ask("b")];
  end("a", new Error("refused"));
  await expect(a).rejects.toThrow("refused");
  expect(began).toEqual(["a", "b"]);
  end("b");
  await b;
});
