// The engine comes and goes: what it forwarded goes on, and what changed meanwhile is seen when it is back.

import { expect, it } from "vitest";
import type { LoadAnswer } from "./answers.js";
import { addresses, fastShare, until } from "./lib/index.js";
import { onEveryEngine } from "./suite.js";

onEveryEngine(
  "the engine restarts",
  {
    images: ["busybox", "nginx"],
    liveRestore: true,
    before: async ({ engine }) => void (await engine.run("nginx", { name: "web", publish: ["8080:80"] })),
  },
  (stage) => {
    const load = async (port: number) => {
      const url = `http://${addresses.host}:${port}/page`;
      return stage.lab.client.ask<LoadAnswer>("http-load.mjs", [url, 200, "fresh", 4]);
    };
    const connected = async () => (await stage.fairway.metrics()).sum("fairway_docker_connected");

    it.each(["SIGTERM", "SIGKILL"] as const)(
      "keeps forwarding while it is away after %s, and finds it again",
      async (signal) => {
        const { lab, fairway } = stage;
        await fairway.knows("web");
        await lab.engine.stopDockerd(signal);
        await until("fairway sees that the engine is gone", async () => (await connected()) === 0);
        const away = await fairway.pathTaken("web", async () =>
          expect(await load(8080)).toMatchObject({ ok: 200 }),
        );
        expect(fastShare(away), JSON.stringify(away)).toBeGreaterThan(0.99);

        await lab.engine.startDockerd();
        await until("fairway has found it again", async () => (await connected()) === 1, { timeout: 40_000 });
        const name = `new-${signal.toLowerCase()}`;
        const fresh = await lab.engine.run("nginx", { name, publish: ["8081:80"] });
        await fairway.knows(name);
        const back = await fairway.pathTaken(name, async () =>
          expect(await load(8081)).toMatchObject({ ok: 200 }),
        );
        expect(fastShare(back), JSON.stringify(back)).toBeGreaterThan(0.99);
        await fresh.remove();
      },
      120_000,
    );
  },
);
