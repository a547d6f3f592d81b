import { describe, expect, it } from "vitest";
import { nearest, suggestion } from "../../../src/config/nearest.js";

const known = ["mode", "docker-host", "uplinks", "state-dir"];

describe("nearest", () => {
  it.each([
    ["mod", "mode"],
    ["dockerHost", "docker-host"],
    ["DOCKER_HOST", "docker-host"],
    ["uplink", "uplinks"],
    ["statedir", "state-dir"],
    ["colour", undefined],
    ["made", "mode"],
    ["code", "mode"],
    ["mate", undefined],
    ["", undefined],
  ])("finds for %j %j", (name, expected) => {
    expect(nearest(name, known)).toBe(expected);
  });

  it("suggests nothing where nothing is known", () => {
    expect(suggestion("x", [])).toBe("");
  });
});
