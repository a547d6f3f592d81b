import type { Logger } from "pino";
import { describe, expect, it } from "vitest";
import { Backoff } from "../../../src/controller/backoff.js";
import { EngineWatch } from "../../../src/controller/engine_watch.js";
import type { EngineEvent } from "../../../src/docker/client.js";
import { UserError } from "../../../src/errors.js";

const log = { debug() {}, info() {}, warn() {} } as unknown as Logger;
const address = { kind: "unix", display: "unix:///x", socketPath: "/x", basePath: "" } as const;

/** An engine that can be taken away and brought back. */
function scene() {
  let up = true;
  let end: (why: string) => void = () => undefined;
  let send: (event: EngineEvent | undefined) => void = () => undefined;
  const story: string[] = [];
  let tries = 0;
  const client = {
    address,
    async negotiate() {
      tries++;
      if (!up) throw new UserError("no Docker engine at unix:///x");
      return { version: "29", apiVersion: "1.52" };
    },
    async events(onEvent: typeof send, signal: AbortSignal) {
      send = onEvent;
      const ended = new Promise<string>((resolve) => {
        end = resolve;
        signal.addEventListener("abort", () => resolve("aborted"));
      });
      return { ended };
    },
  };
  const watch = new EngineWatch(
    client,
    {
      connected: (engine) => story.push(`connected ${engine.version}`),
      disconnected: (why) => story.push(`disconnected: ${why}`),
      event: (event) => story.push(event?.action ?? "lost"),
    },
    log,
    new Backoff(1, 4),
  );
  return {
    watch,
    story,
    tries: () => tries,
    send: (event: EngineEvent | undefined) => send(event),
    take: () => {
      up = false;
      end("the engine closed the event stream");
    },
    bring: () => {
      up = true;
    },
  };
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 2));
  expect(condition()).toBe(true);
}

describe("EngineWatch", () => {
  it("fails at the start when the engine is not there", async () => {
    const s = scene();
    s.take();
    await expect(s.watch.start()).rejects.toThrow(UserError);
    await s.watch.stop();
  });

  it("hands on events, and tries again and again when the engine goes", async () => {
    const s = scene();
    await s.watch.start();
    s.send({ type: "container", action: "start", containerId: "x" });
    s.take();
    await until(() => s.tries() > 3);
    s.bring();
    await until(() => s.story.at(-1) === "connected 29");
    s.send(undefined);
    const [first, second, third, ...rest] = s.story;
    expect([first, second, third]).toEqual([
      "connected 29",
      "start",
      "disconnected: the engine closed the event stream",
    ]);
    expect(rest.slice(-2)).toEqual(["connected 29", "lost"]);
    expect(new Set(rest.slice(0, -2))).toEqual(new Set(["disconnected: no Docker engine at unix:///x"]));
    await s.watch.stop();
  });

  it("stops while it waits for the engine", async () => {
    const s = scene();
    await s.watch.start();
    s.take();
    await until(() => s.tries() > 2);
    await s.watch.stop();
    const tries = s.tries();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(s.tries()).toBe(tries);
  });
});
