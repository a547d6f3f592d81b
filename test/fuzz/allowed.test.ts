// What is allowed and what docs/fuzzing.md says is allowed.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root } from "../lab/lib/index.js";
import { allowedNames } from "./lib/allowed.js";

test("docs/fuzzing.md explains every allowed difference, and no other", () => {
  const text = readFileSync(join(root, "docs/fuzzing.md"), "utf8");
  const [, section = ""] = text.split("\n## Allowed differences\n");
  const [table = ""] = section.split("\n## ");
  const names = [...table.matchAll(/^\| `([a-z-]+)` \| .+ \| .+ \|$/gm)].map(([, name]) => name);
  expect(names.toSorted()).toEqual([...allowedNames].sort());
});
