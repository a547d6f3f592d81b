import { describe, expect, it } from "vitest";
import { LineSplitter } from "../../../src/docker/lines.js";

function split(limit: number, chunks: (string | Buffer)[]): { lines: string[]; oversized: number } {
  const lines: string[] = [];
  let oversized = 0;
  const splitter = new LineSplitter(
    limit,
    (line) => lines.push(line),
    () => oversized++,
  );
  for (const chunk of chunks) splitter.push(Buffer.from(chunk as string));
  return { lines, oversized };
}

describe("LineSplitter", () => {
  it("joins a line from chunks and cuts several from one", () => {
    expect(split(100, ['{"a"', ":1}\n{}\n", "\n\r\n", "x\nunfinished"])).toEqual({
      lines: ['{"a":1}', "{}", "x"],
      oversized: 0,
    });
  });

  it("keeps a character that two chunks share", () => {
    const bytes = Buffer.from("größe\n");
    for (let i = 1; i < bytes.length; i++) {
      expect(split(100, [bytes.subarray(0, i), bytes.subarray(i)]).lines).toEqual(["größe"]);
    }
  });

  it("drops a line that is too long, up to its end, and goes on", () => {
    const long = "x".repeat(50);
    expect(split(10, [long, long, `${long}\nok\n`, `${long}\n1234567890\n12345678901\n`])).toEqual({
      lines: ["ok", "1234567890"],
      oversized: 3,
    });
  });
});
