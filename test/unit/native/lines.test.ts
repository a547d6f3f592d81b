import { expect, it } from "vitest";
import { writeLines } from "../../../src/native/index.js";
import { nativeError } from "./support.js";

/** Texts behind their marks and lengths, and where each is. */
function stored(...texts: string[]) {
  const parts: Buffer[] = [];
  const places: number[] = [];
  let end = 0;
  for (const text of texts) {
    const head = Buffer.alloc(5);
    head.writeUInt32LE(text.length, 1);
    places.push(end);
    parts.push(head, Buffer.from(text));
    end += head.length + text.length;
  }
  return { store: Buffer.concat(parts), places };
}

function scene() {
  const { store, places } = stored("name", "{a} ", "{bc} ");
  const [name = 0, ...texts] = places;
  const lines = {
    store,
    name,
    places: Int32Array.from([...texts, texts[0] as number]),
    values: Float64Array.of(7, 0, 2 ** 53 - 1),
    mark: 1,
  };
  return { lines, piece: Buffer.alloc(200) };
}

it("writes lines, and marks their texts: each counts once", () => {
  const { lines, piece } = scene();
  const { next, used, marked } = writeLines(piece, lines, 0, 3);
  expect(piece.toString("latin1", 0, used)).toBe("name{a} 7\nname{bc} 0\nname{a} 9007199254740991\n");
  expect({ next, marked }).toEqual({ next: 3, marked: 5 + 4 + 5 + 5 });
  expect(writeLines(piece, lines, 1, 2)).toEqual({ next: 2, used: 11, marked: 0 });
});

it.each([0.5, -1, Number.NaN, Infinity, 2 ** 53])("stops before a figure that is no count: %d", (value) => {
  const { lines, piece } = scene();
  lines.values[1] = value;
  expect(writeLines(piece, lines, 0, 3)).toMatchObject({ next: 1, used: 10 });
  expect(writeLines(piece, lines, 1, 3)).toEqual({ next: 1, used: 0, marked: 0 });
});

it("stops where there may be no room for the next line", () => {
  const { lines } = scene();
  const room = "name{a} 7\n".length + "name{bc} ".length + 17;
  expect(writeLines(Buffer.alloc(room), lines, 0, 3)).toMatchObject({ next: 2, used: 21 });
  expect(writeLines(Buffer.alloc(room - 1), lines, 0, 3)).toMatchObject({ next: 1, used: 10 });
  expect(writeLines(Buffer.alloc(0), lines, 0, 3)).toEqual({ next: 0, used: 0, marked: 0 });
});

it.each([
  ["a place behind the store", { places: Int32Array.of(1000) }],
  ["a negative place", { places: Int32Array.of(-1) }],
  ["a text that ends behind the store", { store: stored("name", "x").store.subarray(0, 14) }],
  ["more lines than places", { places: Int32Array.of() }],
  ["more lines than figures", { values: Float64Array.of() }],
])("refuses %s", (_, wrong) => {
  const { lines, piece } = scene();
  const places = Int32Array.of(9);
  expect(nativeError(() => writeLines(piece, { ...lines, places, ...wrong }, 0, 1))).toMatchObject({
    code: "EINVAL",
    operation: "write lines",
  });
});
