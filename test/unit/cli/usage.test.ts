import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { fairway } from "./child.js";

const packageVersion = JSON.parse(
  readFileSync(new URL("../../../package.json", import.meta.url), "utf8"),
).version;

describe("the command line", () => {
  it("tells its version on stdout", async () => {
    expect(await fairway(["--version"])).toEqual({
      code: 0,
      stdout: `fairway ${packageVersion}\n`,
      stderr: "",
    });
  });

  it.each([[], ["run"], ["status"], ["doctor"], ["cleanup"], ["demo"], ["healthcheck"], ["config", "check"]])(
    "has help with an example for %s %s",
    async (...command) => {
      const { code, stdout, stderr } = await fairway([...command, "--help"]);
      expect(code).toBe(0);
      expect(stderr).toBe("");
      expect(stdout).toMatch(new RegExp(`^Usage: fairway ${command.join(" ")}`));
      expect(stdout).toMatch(/Example:\n {2}(HEALTHCHECK CMD )?fairway /);
    },
  );

  it("shows its help to who gives no command, as a usage error", async () => {
    const { code, stdout, stderr } = await fairway([]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("Usage: fairway");
  });

  it.each([
    [["run", "--uplnk", "eth0"], "unknown option '--uplnk' (did you mean --uplink?)"],
    [["run", "--colour"], "unknown option '--colour'"],
    [["stauts"], "unknown command 'stauts' (did you mean status?)"],
    [["run", "--metrics"], "option '--metrics <address:port>' argument missing"],
    [["run", "eth0"], "too many arguments for 'run'. Expected 0 arguments but got 1."],
    [
      ["status", "-o", "xml"],
      "option '-o, --output <format>' argument 'xml' is invalid. Allowed choices are table, json, yaml.",
    ],
    [["demo", "--seconds", "x"], "option '--seconds <n>' argument 'x' is invalid. 1 to 3600, please."],
    [
      ["run", "--mode", "replce"],
      '--mode: "replce" is none of accelerate, replace (did you mean "replace"?)',
    ],
    [
      ["run", "--metrics", "here"],
      '--metrics: "here" is not ADDRESS:PORT (for example 127.0.0.1:9477) or off',
    ],
    [["run", "--config", "/nonexistent.yaml"], "configuration file /nonexistent.yaml: no such file"],
  ])("refuses %j in one line", async (args, line) => {
    const { code, stdout, stderr } = await fairway(args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr.startsWith(`fairway: ${line}`)).toBe(true);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  it("ends quietly when nobody reads on", async () => {
    const { spawnSync } = await import("node:child_process");
    const main = new URL("../../../dist/program/main.js", import.meta.url).pathname;
    const { stderr } = spawnSync("sh", ["-c", `"${process.execPath}" "${main}" config check | true`], {
      encoding: "utf8",
    });
    expect(stderr).toBe("");
  });
});
