import { expect, test } from "vitest";
import { reasonText } from "../../../src/explain/reasons.js";
import { Reason } from "../../../src/generated/index.js";

test("every reason has a meaning, and no two the same", () => {
  const reasons = Object.values(Reason).filter((reason) => reason !== Reason.NONE && reason !== Reason.MAX);
  const texts = reasons.map((reason) => reasonText(reason));
  for (const text of texts) expect(text).toMatch(/^[a-z_]+: .{10,}$/);
  expect(new Set(texts.map((text) => text.split(": ").slice(1).join())).size).toBe(reasons.length);
});
