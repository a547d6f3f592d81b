import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadConfig } from "../../../src/config/load.js";
import { UserError } from "../../../src/errors.js";

const directory = mkdtempSync(join(tmpdir(), "fwx-config-"));
afterAll(() => rmSync(directory, { recursive: true }));

let files = 0;
function file(text: string): string {
  const path = join(directory, `${files++}.yaml`);
  writeFileSync(path, text);
  return path;
}

function load(text: string, environment: Record<string, string> = {}, flags: [string, unknown][] = []) {
  return loadConfig({
    file: file(text),
    environment,
    flags: flags.map(([key, raw]) => ({ key: key as "mode", raw, source: `--${key}` })),
  });
}

function refusal(run: () => unknown): UserError {
  try {
    run();
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  throw new Error("was not refused");
}

describe("loadConfig", () => {
  it("has the documented defaults", () => {
    const { config, file } = loadConfig({ environment: {}, flags: [], defaultFile: join(directory, "none") });
    expect(file).toBeUndefined();
    expect(config).toMatchObject({
      mode: "accelerate",
      dockerHost: undefined,
      uplinks: [],
      metrics: { host: "127.0.0.1", port: 9477 },
      bpffs: "/sys/fs/bpf/fairway",
      stateDir: "/run/fairway",
      trustFirewall: "auto",
      logFormat: "text",
      logLevel: "info",
      once: false,
    });
    expect(Math.log2(config.flowsMax) % 1).toBe(0);
  });

  it("reads the default file where it exists, FAIRWAY_CONFIG before it, --config before both", () => {
    const [first, second, third] = [
      file("log-level: warn"),
      file("log-level: error"),
      file("log-level: debug"),
    ];
    const level = (environment: Record<string, string>, flag?: string) =>
      loadConfig({ environment, flags: [], defaultFile: first, file: flag }).config.logLevel;
    expect(level({})).toBe("warn");
    expect(level({ FAIRWAY_CONFIG: second })).toBe("error");
    expect(level({ FAIRWAY_CONFIG: second }, third)).toBe("debug");
  });

  it("lets the environment win over the file and flags over both, and says where each came from", () => {
    const text = "# mine\nmetrics: 127.0.0.1:1\nlog-level: warn\nlog-format: json\n";
    const { config, sources } = load(
      text,
      { FAIRWAY_METRICS: "127.0.0.1:2", FAIRWAY_LOG_LEVEL: "error", FAIRWAY_BPFFS: "" },
      [["metrics", "127.0.0.1:3"]],
    );
    expect(config.metrics?.port).toBe(3);
    expect(config.logLevel).toBe("error");
    expect(config.logFormat).toBe("json");
    expect(config.bpffs).toBe("/sys/fs/bpf/fairway");
    expect(sources.metrics).toBe("--metrics");
    expect(sources["log-level"]).toBe("FAIRWAY_LOG_LEVEL");
    expect(sources["log-format"]).toMatch(/\.yaml:4$/);
    expect(sources.bpffs).toBe("default");
  });

  it.each([
    ["", []],
    ["---\n# nothing\n", []],
    ["uplinks:\n", []],
    ["uplinks: eth0", ["eth0"]],
    ["uplinks: eth0,eth1", ["eth0", "eth1"]],
    ["uplinks: [eth0, eth1, eth0]", ["eth0", "eth1"]],
  ])("takes %j for a file", (text, uplinks) => {
    expect(load(text).config.uplinks).toEqual(uplinks);
  });

  it.each([
    ["metrics: off", undefined],
    ["metrics: false", undefined],
    ["metrics: 0.0.0.0:0", { host: "0.0.0.0", port: 0 }],
    ['metrics: "[::1]:9"', { host: "::1", port: 9 }],
    ['metrics: ":9477"', { host: "::", port: 9477 }],
  ])("takes %j for the metrics address", (text, address) => {
    expect(load(text).config.metrics).toEqual(address);
  });

  it.each([
    ["uplnks: [eth0]", /^\/.*\.yaml:1: unknown key "uplnks" \(did you mean "uplinks"\?\)$/],
    [
      "\nmode: accelerate\ndocker_host: x",
      /\.yaml:3: unknown key "docker_host" \(did you mean "docker-host"\?\)$/,
    ],
    ["colour: green", /\.yaml:1: unknown key "colour"$/],
    [
      "mode: acelerate",
      /: mode: "acelerate" is none of accelerate, replace \(did you mean "accelerate"\?\)$/,
    ],
    ["metrics: 9477", /: metrics: must be ADDRESS:PORT or off$/],
    ["metrics: 127.0.0.1:99999", /: metrics: "127.0.0.1:99999" is not ADDRESS:PORT/],
    ["flows-max: 12", /: flows-max: must be auto or a number of 1024 to 16777216$/],
    ["flows-max: many", /: flows-max: must be auto or a number/],
    ["bpffs: relative", /: bpffs: must be an absolute path$/],
    ["docker-host: /var/run/docker.sock", /: docker-host: "\/var\/run\/docker.sock" is not unix:\/\/\/PATH/],
    ["uplinks: [a-name-that-is-too-long]", /can't be the name of a network device$/],
    ["uplinks: {eth0: 1}", /: uplinks: must be a list of network devices$/],
    ["once: maybe", /: once: must be true or false$/],
    ["log-level: 3", /: log-level: must be a text$/],
    ["- mode", /\.yaml:1: must be a mapping of keys to values/],
    ["mode: accelerate\nmode: accelerate", /\.yaml:2: .*unique/i],
    ["mode: [", /\.yaml:\d+: /],
  ])("refuses %j in one line with the place", (text, message) => {
    const error = refusal(() => load(text));
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain("\n");
    expect(error.exitCode).toBe(2);
  });

  it("checks a value even where a later source overrides it", () => {
    expect(refusal(() => load("log-level: loud", { FAIRWAY_LOG_LEVEL: "info" })).message).toContain("loud");
  });

  it("names the variable or the flag of a wrong value", () => {
    expect(refusal(() => load("", { FAIRWAY_MODE: "x" })).message).toMatch(/^FAIRWAY_MODE: "x" is none of/);
    expect(refusal(() => load("", {}, [["metrics", "x"]])).message).toMatch(
      /^--metrics: "x" is not ADDRESS:PORT/,
    );
  });

  it("refuses a variable that is nearly one of its own and lets others pass", () => {
    expect(refusal(() => load("", { FAIRWAY_UPLINK: "eth0" })).message).toBe(
      "unknown variable FAIRWAY_UPLINK in the environment (did you mean FAIRWAY_UPLINKS?)",
    );
    expect(() => load("", { FAIRWAY_CACHE: "/x", FAIRWAY_PORT_9477_TCP_ADDR: "10.0.0.1" })).not.toThrow();
  });

  it("says which file is not there", () => {
    const error = refusal(() => loadConfig({ file: "/nonexistent/f.yaml", environment: {}, flags: [] }));
    expect(error.message).toBe("configuration file /nonexistent/f.yaml: no such file");
    expect(refusal(() => loadConfig({ file: directory, environment: {}, flags: [] })).message).toMatch(
      /is a directory$/,
    );
  });
});
