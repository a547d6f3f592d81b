/** Steps: skipped when current, by content; a failure keeps what is needed to understand it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { forget } from "../../../scripts/lib/current.mjs";
import { atLeast, type Failure, run, versionIn } from "../../../scripts/lib/run.mjs";
import { step } from "../../../scripts/lib/step.mjs";

let directory: string;

/** Names of steps that no other run uses at the same time. */
const names = [`test of steps ${process.pid}`, `test of failing steps ${process.pid}`] as const;

beforeAll(() => {
  vi.spyOn(process.stderr, "write").mockReturnValue(true);
  directory = mkdtempSync(join(tmpdir(), "fairway-steps-test-"));
});
afterAll(() => {
  vi.restoreAllMocks();
  for (const name of names) forget(name);
  rmSync(directory, { recursive: true, force: true });
});

test("a step is skipped until an input, an option or an output changes", async () => {
  const input = join(directory, "input");
  const output = join(directory, "output");
  const [name] = names;
  const go = (more: unknown) =>
    step({
      name,
      from: { files: [input], more, outputs: [output] },
      work: () => writeFileSync(output, "made"),
    });
  writeFileSync(input, "one");
  expect(await go(1)).toBe(true);
  writeFileSync(input, "one");
  expect(await go(1)).toBe(false);
  writeFileSync(input, "two");
  expect(await go(1)).toBe(true);
  expect(await go(2)).toBe(true);
  rmSync(output);
  expect(await go(2)).toBe(true);
  expect(await go(2)).toBe(false);
});

test("after a failure the step is not current, though nothing changed", async () => {
  const input = join(directory, "failing-input");
  writeFileSync(input, "");
  let broken = false;
  const go = () =>
    step({
      name: names[1],
      from: { files: [input], outputs: [] },
      work: () => run([broken ? "false" : "true"]),
    });
  expect(await go()).toBe(true);
  expect(await go()).toBe(false);
  writeFileSync(input, "changed");
  broken = true;
  await expect(go()).rejects.toThrow("false failed with status 1");
  writeFileSync(input, "");
  broken = false;
  expect(await go()).toBe(true);
});

test("a failed command's error has the command, its output and the remedy", async () => {
  const failure = await run(["sh", "-c", "echo out; echo err >&2; exit 3"], { remedy: "try again" }).catch(
    (error: Failure) => error,
  );
  expect(failure).toMatchObject({ message: "sh failed with status 3", detail: { remedy: "try again" } });
  expect((failure as Failure).detail.output).toContain("out\n");
  expect((failure as Failure).detail.output).toContain("err\n");
  expect((failure as Failure).detail.command).toBe("sh -c 'echo out; echo err >&2; exit 3'");
  await expect(run(["/nowhere/program"])).rejects.toThrow("can't run /nowhere/program");
});

test.each([
  ["cargo 1.95.0 (f2d3ce0bd 2026-03-21)", [1, 91], true],
  ["cargo 0.66.0", [1, 91], false],
  ["go version go1.26.8 linux/amd64", [1, 21], true],
  ["6.1.0-37-amd64", [6, 1], true],
  ["5.15.0", [6, 1], false],
  ["v20.18.0", [20, 18, 1], false],
  ["v20.18.1", [20, 18, 1], true],
  ["nothing", [1], false],
])("%s at least %j: %s", (text, least, expected) => {
  expect(atLeast(versionIn(text), least)).toBe(expected);
});
