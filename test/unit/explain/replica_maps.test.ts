import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { PLAN_MAPS } from "../../../src/explain/replica_maps.js";
import { mapDefinitions } from "../../../src/generated/index.js";

describe("a replica of the programs", () => {
  /** Of every map, what its comment says of who writes it. */
  const writers = new Map<string, string>();
  const source = readFileSync(new URL("../../../bpf/lib/maps.h", import.meta.url), "utf8");
  let comment = "";
  for (const [, text, name] of source.matchAll(/\/\*(?<text>.*?)\*\/|^MAP\(\w+, (?<name>\w+),/gms)) {
    if (text !== undefined) comment = text.replace(/\s*\n \*\s*/g, " ");
    if (name !== undefined) writers.set(name, comment);
  }

  test("writes to none of the maps that it shares, and shares all that only the control plane writes", () => {
    expect([...writers.keys()].sort()).toEqual(Object.keys(mapDefinitions).sort());
    const plan = [...writers]
      .filter(([, text]) => /Written by the control plane/.test(text))
      .filter(([, text]) => !/(Written|counted|read) by the programs|by the program\b/i.test(text))
      .map(([name]) => name);
    expect([...PLAN_MAPS].sort()).toEqual(plan.sort());
  });
});
