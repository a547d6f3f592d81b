// The demo shows what it promises, on every engine, and leaves nothing, however it ends.

import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Background, cacheDir, type EngineKind, enginesToTest, until } from "./lib/index.js";
import { fairwayMain } from "./lib/paths.js";

/** The environment in which the demo finds this engine first. */
function environment(kind: EngineKind): Record<string, string> {
  const path = `${process.env.PATH}:/usr/sbin:/sbin`;
  return { PATH: kind === "29" ? `${join(cacheDir, "engine-29")}:${path}` : path };
}

function start(kind: EngineKind, ...args: string[]): Background {
  return new Background([process.execPath, fairwayMain, "demo", ...args], { env: environment(kind) });
}

/** Whatever of this demo's is still there: namespaces, files, mounts, processes. */
async function leftOf(demo: Background): Promise<string[]> {
  const name = `fairway-demo-${demo.pid}`;
  const namespaces = existsSync("/var/run/netns") ? await readdir("/var/run/netns") : [];
  const mounts = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
  const commands = await Promise.all(
    (await readdir("/proc"))
      .filter((pid) => /^\d+$/.test(pid))
      .map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")),
  );
  const files = await readdir(tmpdir());
  return [...namespaces, ...files, ...mounts, ...commands].filter((text) => text.includes(name));
}

describe.each(enginesToTest())("fairway demo, engine %s", (kind) => {
  it("compares the engine alone and with fairway, nearly all packets on the fast path", async () => {
    const demo = start(kind, "--json", "--seconds", "6");
    expect(await demo.exited, demo.stderr).toBe(0);
    const report = JSON.parse(demo.stdout);
    for (const line of report.lines) {
      expect(line.dockerRequestsPerSecond).toBeGreaterThan(0);
      expect(line.fairwayRequestsPerSecond).toBeGreaterThan(0);
    }
    expect(report.errors).toBe(0);
    expect(report.packets.fast).toBeGreaterThan(1000);
    expect(report.packets.fast / (report.packets.fast + report.packets.slow)).toBeGreaterThan(0.98);
    expect(await leftOf(demo)).toEqual([]);
  });

  it("removes everything when it is interrupted, half-way up or while it compares", async () => {
    for (const moment of [/starting two containers/, /comparing/]) {
      const demo = start(kind);
      await demo.waitFor(moment, { stream: "stderr", timeout: 60_000 });
      demo.kill("SIGINT");
      await demo.exited;
      expect(demo.stderr).toContain("removing the engine");
      expect(await leftOf(demo)).toEqual([]);
    }
  });
});

it("removes what a demo that was killed has left, when it runs the next time", async () => {
  const killed = start("20.10");
  await killed.waitFor(/comparing/, { stream: "stderr", timeout: 60_000 });
  killed.kill("SIGKILL");
  await killed.exited;
  expect(await leftOf(killed)).not.toEqual([]);
  const next = start("20.10", "--seconds", "1");
  await next.waitFor(/starting an engine/, { stream: "stderr", timeout: 60_000 });
  await until("the killed demo's remains are gone", async () => (await leftOf(killed)).length === 0);
  next.kill("SIGINT");
  await next.exited;
  expect(await leftOf(next)).toEqual([]);
});
