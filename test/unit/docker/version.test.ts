import { describe, expect, it } from "vitest";
import { compareVersions, negotiate } from "../../../src/docker/version.js";
import { UserError } from "../../../src/errors.js";

describe("negotiate", () => {
  it.each([
    ["1.41", "1.12", "1.41"],
    ["1.47", undefined, "1.47"],
    ["1.52", "1.44", "1.52"],
    ["1.56", "1.40", "1.52"],
    ["2.0", "1.50", "1.52"],
  ])("server %s from %s: %s", (server, min, expected) => {
    expect(negotiate(server, min)).toBe(expected);
  });

  it("refuses engines that are too old or too new, naming the remedy", () => {
    expect(() => negotiate("1.40", "1.12")).toThrow(UserError);
    expect(() => negotiate("1.40", "1.12")).toThrow(/1\.41 \(Docker 20\.10\) or newer: upgrade Docker/);
    expect(() => negotiate("1.60", "1.53")).toThrow(/upgrade fairway/);
  });

  it("compares numbers, not text", () => {
    expect(compareVersions("1.9", "1.41")).toBeLessThan(0);
    expect(compareVersions("1.100", "1.52")).toBeGreaterThan(0);
    expect(compareVersions("1.41", "1.41")).toBe(0);
  });
});
