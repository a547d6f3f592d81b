import { describe, expect, it } from "vitest";
import { flowsMaxFor } from "../../../src/config/flows-max.js";

const GiB = 2 ** 30;

describe("flowsMaxFor", () => {
  it.each([
    [0, 16_384],
    [GiB / 2, 16_384],
    [1 * GiB, 16_384],
    [4 * GiB, 65_536],
    [8 * GiB, 131_072],
    [24 * GiB, 262_144],
    [1024 * GiB, 1_048_576],
  ])("gives a host of %i bytes %i entries", (memory, entries) => {
    expect(flowsMaxFor(memory)).toBe(entries);
  });
});
