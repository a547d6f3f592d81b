import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { fairway } from "./child.js";

const directory = mkdtempSync(join(tmpdir(), "fwx-cli-"));
afterAll(() => rmSync(directory, { recursive: true }));
const good = join(directory, "good.yaml");
writeFileSync(good, "uplinks: [eth0]\nmetrics: off\n");
const bad = join(directory, "bad.yaml");
writeFileSync(bad, "mode: accelerate\nuplnks: [eth0]\n");

describe("fairway config check", () => {
  it("prints what is in force and where it comes from", async () => {
    const { code, stdout } = await fairway(["config", "check", good, "--log-level", "debug"], {
      FAIRWAY_STATE_DIR: "/run/other",
    });
    expect(code).toBe(0);
    const rows = stdout.split("\n").map((line) => line.split(/\s{2,}/));
    expect(rows).toContainEqual(["uplinks", "eth0", `${good}:1`]);
    expect(rows).toContainEqual(["metrics", "off", `${good}:2`]);
    expect(rows).toContainEqual(["state-dir", "/run/other", "FAIRWAY_STATE_DIR"]);
    expect(rows).toContainEqual(["log-level", "debug", "--log-level"]);
    expect(rows).toContainEqual(["mode", "accelerate", "default"]);
  });

  it("prints JSON, and YAML whose values could stand in a file", async () => {
    const json = JSON.parse((await fairway(["config", "check", good, "-o", "json"])).stdout);
    expect(json.values.uplinks).toEqual(["eth0"]);
    expect(json.file).toBe(good);
    const yaml = parse((await fairway(["config", "check", good, "-o", "yaml"])).stdout);
    expect(yaml).toEqual(json);
  });

  it("names file, line, key and the nearest key in one line", async () => {
    expect(await fairway(["config", "check", bad])).toEqual({
      code: 2,
      stdout: "",
      stderr: `fairway: ${bad}:2: unknown key "uplnks" (did you mean "uplinks"?)\n`,
    });
    expect((await fairway(["config", "check"], { FAIRWAY_CONFIG: bad })).code).toBe(2);
    expect((await fairway(["run", "--config", bad])).code).toBe(2);
  });
});
