import { beforeAll, beforeEach, expect, test } from "vitest";
import { type BpfMap, BpfObject, type BpfProgram, RingBuffer } from "../../../src/native/index.js";
import { closing, compile, eventually, frame, nativeError } from "./support.js";

let image: Buffer;
beforeAll(() => {
  image = compile("sample");
});

let map: BpfMap;
let program: BpfProgram;
beforeEach(() => {
  const object = closing(BpfObject.open(image, "sample"));
  object.load();
  map = closing(object.map("records"));
  program = closing(object.program("emit"));
});

/** Makes the program write n records; returns how many it could. */
function emit(n: number): number {
  const context = Buffer.alloc(192);
  context.writeUInt32LE(n, 8);
  return program.testRun({ data: frame(), context }).returnValue;
}

test("gives every record, in order, also those from before it was opened", async () => {
  expect(emit(3)).toBe(3);
  const numbers: number[] = [];
  closing(
    new RingBuffer(map, (record) => {
      expect(record.length).toBe(8);
      numbers.push(record.readUInt32LE(0));
    }),
  );
  await eventually(() => numbers.length === 3);
  emit(5);
  await eventually(() => numbers.length === 8);
  expect(numbers).toEqual([0, 1, 2, 0, 1, 2, 3, 4]);
});

test("gives no more than the budget per turn of the event loop, and everything in the end", async () => {
  const perTurn: number[] = [];
  let current = 0;
  let total = 0;
  const turnEnds = (): void => {
    perTurn.push(current);
    current = 0;
  };
  expect(emit(50)).toBe(50);
  const onRecord = (): void => {
    if (current === 0) setImmediate(turnEnds);
    current++;
    total++;
  };
  closing(new RingBuffer(map, onRecord, { budget: 8 }));
  await eventually(() => total === 50);
  await new Promise((resolve) => setImmediate(resolve));
  expect(Math.max(...perTurn)).toBeLessThanOrEqual(8);
  expect(perTurn.length).toBeGreaterThanOrEqual(7);
});

test("a full ring refuses records; after a read there is room again", async () => {
  // 4096 bytes of ring, 16 for a record of 8.
  let written = 0;
  for (let round = 0; round < 5; round++) written += emit(64);
  expect(written).toBe(255);
  let read = 0;
  closing(new RingBuffer(map, () => void read++));
  await eventually(() => read === 255);
  expect(emit(64)).toBe(64);
  await eventually(() => read === 255 + 64);
});

test("gives nothing after close, which may come from within a callback", async () => {
  const numbers: number[] = [];
  const ring = new RingBuffer(map, (record) => {
    numbers.push(record.readUInt32LE(0));
    if (numbers.length === 2) ring.close();
  });
  emit(10);
  await eventually(() => numbers.length >= 2);
  ring.close();
  emit(10);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(numbers).toEqual([0, 1]);
});

test("reads on when the map's handle is closed", async () => {
  let read = 0;
  closing(new RingBuffer(map, () => void read++));
  map.close();
  emit(4);
  await eventually(() => read === 4);
});

test("what a callback throws is an uncaught exception; the next records come all the same", async () => {
  const thrown: unknown[] = [];
  const before = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => thrown.push(error));
  try {
    let read = 0;
    closing(
      new RingBuffer(map, () => {
        read++;
        if (read === 1) throw new Error("on purpose");
      }),
    );
    emit(3);
    await eventually(() => read === 3);
    expect(thrown).toEqual([new Error("on purpose")]);
  } finally {
    process.removeAllListeners("uncaughtException");
    for (const listener of before) process.on("uncaughtException", listener);
  }
});

test("another type of map is refused", () => {
  const object = closing(BpfObject.open(image, "sample"));
  object.load();
  expect(nativeError(() => new RingBuffer(closing(object.map("pairs")), () => {}))).toMatchObject({
    code: "EINVAL",
    operation: "read ring buffer",
    object: "pairs",
  });
});
