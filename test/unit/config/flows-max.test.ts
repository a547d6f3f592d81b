import { describe, expect, it } from "vitest";
import { flowsMaxFor } from "../../../src/config/flows-max.js";

const GiB = 2 ** 30;

describe("flowsMaxFor", () => {
  it.each([
    [0, 16_384],
    [GiB / 2, 16_384],
    [1 * GiB, 32_768],
    [4 * GiB, 131_072],
    [7 * GiB, 131_072],
    [8 * GiB, 262_144],
    [16 * GiB, 524_288],
    [1024 * GiB, 524_288],
  ])("gives a host of %i bytes %i entries", (memory, entries) => {
    expect(flowsMaxFor(memory)).toBe(entries);
  });
});
