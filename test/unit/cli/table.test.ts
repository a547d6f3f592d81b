import { describe, expect, it } from "vitest";
import { bytes, duration, number, percent, table } from "../../../src/cli/table.js";

describe("table", () => {
  it("aligns texts to the left and numbers to the right, without trailing blanks", () => {
    const text = table(
      ["NAME", "PACKETS", "NOTE"],
      [
        ["web", 1234567, "x"],
        ["a-longer-name", 5n, undefined],
      ],
    );
    expect(text).toBe(
      "NAME             PACKETS  NOTE\nweb            1,234,567  x\na-longer-name          5  -\n",
    );
  });

  it("shows no colour unless asked, and only in the heading", () => {
    expect(table(["A"], [["b"]], false)).not.toContain("\u001b");
    expect(table(["A"], [["b"]], true)).toBe("\u001b[1mA\u001b[22m\nb\n");
  });

  it("shows names without what steers a terminal", () => {
    expect(table(["A"], [["x\u001b]0;title\u0007\ny"]])).toBe("A\nx\ufffd]0;title\ufffd\ufffdy\n");
  });

  it("has only a heading where there is nothing", () => {
    expect(table(["A", "B"], [])).toBe("A  B\n");
  });
});

describe("figures", () => {
  it("percent never rounds up to all", () => {
    expect(percent(1, 0)).toBe("-");
    expect(percent(5, 5)).toBe("100 %");
    expect(percent(99_999, 100_000)).toBe("99.99 %");
    expect(percent(999_999_999, 1_000_000_000)).toBe("99.99 %");
    expect(percent(1, 3)).toBe("33.3 %");
    expect(percent(0, 3)).toBe("0.0 %");
  });

  it("bytes, numbers and spans of time", () => {
    expect([bytes(512), bytes(1536), bytes(3n * 2n ** 40n)]).toEqual(["512 B", "1.5 KiB", "3.0 TiB"]);
    expect(number(1234567n)).toBe("1,234,567");
    expect([duration(3000), duration(720_000), duration(7.2e6 * 3), duration(1.9e8)]).toEqual([
      "3 s",
      "12 min",
      "6 h",
      "2 d",
    ]);
  });
});
