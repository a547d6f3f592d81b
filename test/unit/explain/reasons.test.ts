import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { reasonText } from "../../../src/explain/reasons.js";
import { PLAN_MAPS } from "../../../src/explain/replica.js";
import { mapDefinitions, Reason } from "../../../src/generated/index.js";

test("every reason has a meaning, and no two the same", () => {
  const reasons = Object.values(Reason).filter((reason) => reason !== Reason.NONE && reason !== Reason.MAX);
  const texts = reasons.map((reason) => reasonText(reason));
  for (const text of texts) expect(text).toMatch(/^[a-z_]+: .{10,}$/);
  expect(new Set(texts.map((text) => text.split(": ").slice(1).join())).size).toBe(reasons.length);
});

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
