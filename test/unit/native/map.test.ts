import { describe, expect, test } from "vitest";
import { BpfMap, type MapSpec, possibleCpus } from "../../../src/native/index.js";
import { bpffs, closing, nativeError, u32 } from "./support.js";

const BPF_F_NO_PREALLOC = 1;

function create(spec: Partial<MapSpec> = {}): BpfMap {
  return closing(
    BpfMap.create({ type: "hash", name: "fwn_test", keySize: 4, valueSize: 4, maxEntries: 100, ...spec }),
  );
}

/** What is in a map of four-byte keys and values. */
function contents(map: BpfMap, batchSize?: number): Map<number, number> {
  const found = new Map<number, number>();
  for (const { key, value } of map.entries(batchSize)) {
    expect(found.has(key.readUInt32LE())).toBe(false);
    found.set(key.readUInt32LE(), value.readUInt32LE());
  }
  return found;
}

/** n entries: key i, value 2 * i. */
function pairs(n: number): { keys: Buffer; values: Buffer; expected: Map<number, number> } {
  const numbers = Array.from({ length: n }, (_, i) => i);
  return {
    keys: u32(...numbers),
    values: u32(...numbers.map((i) => 2 * i)),
    expected: new Map(numbers.map((i) => [i, 2 * i])),
  };
}

describe("every type of map", () => {
  test.each(["hash", "lru_hash"])("%s: set, get, delete", (type) => {
    const map = create({ type });
    expect(map.info).toMatchObject({ type, name: "fwn_test", keySize: 4, valueSize: 4, maxEntries: 100 });
    expect(map.info.id).toBeGreaterThan(0);
    expect(map.get(u32(1))).toBeUndefined();
    map.set(u32(1), u32(7));
    expect(map.get(u32(1))).toEqual(u32(7));
    expect(map.delete(u32(1))).toBe(true);
    expect(map.delete(u32(1))).toBe(false);
    expect(map.get(u32(1))).toBeUndefined();
  });

  test("array: every entry is there from the start", () => {
    const map = create({ type: "array", maxEntries: 3 });
    map.set(u32(2), u32(9));
    expect(contents(map)).toEqual(
      new Map([
        [0, 0],
        [1, 0],
        [2, 9],
      ]),
    );
    expect(map.get(u32(3))).toBeUndefined();
    expect(nativeError(() => map.set(u32(3), u32(0)))).toMatchObject({ code: "E2BIG", errno: 7 });
    expect(nativeError(() => map.delete(u32(0))).code).toBe("EINVAL");
  });

  test.each(["percpu_array", "percpu_hash", "lru_percpu_hash"])(
    "%s: a value for each CPU, 8 apart",
    (type) => {
      const map = create({ type, valueSize: 12, maxEntries: 4 });
      expect(map.info.valueSize).toBe(12);
      expect(map.valueLength).toBe(16 * possibleCpus());
      const value = Buffer.alloc(map.valueLength);
      for (let cpu = 0; cpu < possibleCpus(); cpu++) value.fill(cpu + 1, 16 * cpu, 16 * cpu + 12);
      map.set(u32(1), value);
      expect(map.get(u32(1))).toEqual(value);
      const all = [...map.entries()];
      expect(all.find(({ key }) => key.equals(u32(1)))?.value).toEqual(value);
    },
  );

  test("lpm_trie: the longest prefix wins", () => {
    const map = create({ type: "lpm_trie", keySize: 8, flags: BPF_F_NO_PREALLOC });
    const key = (prefix: number, ...address: number[]) => Buffer.concat([u32(prefix), Buffer.from(address)]);
    map.set(key(8, 198, 0, 0, 0), u32(8));
    map.set(key(24, 198, 18, 1, 0), u32(24));
    expect(map.get(key(32, 198, 18, 1, 7))).toEqual(u32(24));
    expect(map.get(key(32, 198, 18, 2, 7))).toEqual(u32(8));
    expect(map.get(key(32, 192, 0, 2, 1))).toBeUndefined();
    expect([...map.entries(1)].map(({ value }) => value.readUInt32LE()).sort((a, b) => a - b)).toEqual([
      8, 24,
    ]);
    expect(map.deleteBatch(Buffer.concat([key(8, 198, 0, 0, 0), key(24, 198, 18, 1, 0)]))).toBe(2);
    expect([...map.entries()]).toEqual([]);
  });

  test("lpm_trie without BPF_F_NO_PREALLOC, an unknown type and a long name are refused", () => {
    expect(nativeError(() => create({ type: "lpm_trie", keySize: 8 })).code).toBe("EINVAL");
    expect(nativeError(() => create({ type: "heap" })).message).toMatch(/no such map type/);
    expect(nativeError(() => create({ name: "sixteen_letters_" }))).toMatchObject({
      code: "EINVAL",
      operation: "create map",
      object: "sixteen_letters_",
    });
  });

  test("a map without keys has no batches, and says so", () => {
    const map = create({ type: "ringbuf", keySize: 0, valueSize: 0, maxEntries: 4096 });
    expect(map.info.type).toBe("ringbuf");
    expect(nativeError(() => map.getBatch(undefined, 1)).message).toMatch(/no keys/);
  });

  test("a type without batches is read and written one by one", () => {
    const map = create({ type: "devmap_hash" });
    expect(map.setBatch(u32(5, 6), u32(1, 1))).toBe(2);
    expect(contents(map, 1)).toEqual(
      new Map([
        [5, 1],
        [6, 1],
      ]),
    );
    expect(map.deleteBatch(u32(6, 7, 5))).toBe(2);
    expect(contents(map)).toEqual(new Map());
  });
});

test("more entries at once than the kernel has memory ready for: all are written", () => {
  const spec = { type: "percpu_hash", valueSize: 1024, maxEntries: 2000, flags: BPF_F_NO_PREALLOC };
  const [single, batched] = [create(spec), create(spec)];
  const { keys } = pairs(spec.maxEntries);
  for (let at = 0; at < keys.length; at += 4)
    single.set(keys.subarray(at, at + 4), Buffer.alloc(single.valueLength, at));
  batched.setBatch(keys, Buffer.alloc(spec.maxEntries * batched.valueLength, 1));
  expect([...single.entries()]).toHaveLength(spec.maxEntries);
  expect([...batched.entries()]).toHaveLength(spec.maxEntries);
});

test("update flags say what may be there", () => {
  const map = create();
  expect(nativeError(() => map.set(u32(1), u32(1), "exist")).code).toBe("ENOENT");
  map.set(u32(1), u32(1), "create");
  expect(nativeError(() => map.set(u32(1), u32(2), "create")).code).toBe("EEXIST");
  map.set(u32(1), u32(3), "exist");
  expect(map.get(u32(1))).toEqual(u32(3));
});

describe("buffers of a wrong size never reach the kernel", () => {
  const cases: [string, (map: BpfMap) => unknown, RegExp][] = [
    ["get", (map) => map.get(Buffer.alloc(3)), /key has 3 bytes, not 4/],
    ["delete", (map) => map.delete(Buffer.alloc(8)), /key has 8 bytes, not 4/],
    ["set, key", (map) => map.set(Buffer.alloc(0), u32(1)), /key has 0 bytes, not 4/],
    ["set, value", (map) => map.set(u32(1), Buffer.alloc(5)), /value has 5 bytes, not 4/],
    ["getBatch", (map) => map.getBatch(Buffer.alloc(2), 1), /cursor has 2 bytes, not 4/],
    [
      "setBatch, keys",
      (map) => map.setBatch(Buffer.alloc(6), u32(1)),
      /6 bytes of keys are no multiple of 4/,
    ],
    ["setBatch, values", (map) => map.setBatch(u32(1, 2), u32(1)), /values has 4 bytes, not 8/],
    ["deleteBatch", (map) => map.deleteBatch(Buffer.alloc(5)), /5 bytes of keys/],
  ];
  test.each(cases)("%s", (_, body, message) => {
    const map = create();
    const error = nativeError(() => body(map));
    expect(error).toMatchObject({ code: "EMSGSIZE", object: "fwn_test" });
    expect(error.message).toMatch(message);
  });

  test("a per-CPU map wants all CPUs' values", () => {
    const map = create({ type: "percpu_hash" });
    expect(nativeError(() => map.set(u32(1), u32(1))).code).toBe("EMSGSIZE");
  });

  test("what is no Uint8Array is a TypeError", () => {
    const map = create();
    const wrong = "abcd" as unknown as Uint8Array;
    expect(() => map.get(wrong)).toThrow(TypeError);
    expect(() => map.get(new Uint32Array(1) as unknown as Uint8Array)).toThrow(TypeError);
  });

  test("a view into a larger buffer is read where it begins", () => {
    const map = create();
    map.set(u32(1, 2, 3).subarray(4, 8), u32(7, 8).subarray(4));
    expect(contents(map)).toEqual(new Map([[2, 8]]));
  });
});

describe("batches", () => {
  test.each(["hash", "lru_hash", "array"])(
    "%s: writes and reads everything, in pieces of any size",
    (type) => {
      const map = create({ type, maxEntries: 1000 });
      const { keys, values, expected } = pairs(1000);
      expect(map.setBatch(keys, values)).toBe(1000);
      // An LRU map may have forgotten some: what there is must be right.
      const all = contents(map, 7);
      if (type !== "lru_hash") expect(all).toEqual(expected);
      expect(all.size).toBeGreaterThan(500);
      for (const [key, value] of all) expect(value).toBe(2 * key);
      expect(contents(map, 5000)).toEqual(all);
      expect(contents(map, 1)).toEqual(all);
    },
  );

  test("the cursor is undefined at the end, of an empty map at once", () => {
    const map = create();
    expect(map.getBatch(undefined, 10)).toMatchObject({ count: 0, cursor: undefined });
    map.setBatch(u32(1, 2), u32(1, 2));
    const { count, keys, values, cursor } = map.getBatch(undefined, 100);
    expect([count, keys.length, values.length, cursor]).toEqual([2, 8, 8, undefined]);
  });

  test("keys that are missing are skipped when deleting", () => {
    const map = create();
    map.setBatch(u32(1, 2, 3, 4), u32(1, 2, 3, 4));
    expect(map.deleteBatch(u32(9, 1, 8, 3, 7))).toBe(2);
    expect(map.deleteBatch(u32())).toBe(0);
    expect(contents(map)).toEqual(
      new Map([
        [2, 2],
        [4, 4],
      ]),
    );
  });

  test("a full map: the error says how far it came", () => {
    const map = create({ maxEntries: 4 });
    const { keys, values } = pairs(6);
    const error = nativeError(() => map.setBatch(keys, values));
    expect(error.code).toBe("E2BIG");
    expect(error.message).toMatch(/after 4 of 6 entries/);
    expect(contents(map).size).toBe(4);
  });

  test("an entry may be deleted while it is given", () => {
    const map = create({ maxEntries: 1000 });
    const { keys, values } = pairs(1000);
    map.setBatch(keys, values);
    let seen = 0;
    for (const { key } of map.entries(16)) {
      seen++;
      expect(map.delete(key)).toBe(true);
    }
    expect(seen).toBe(1000);
    expect(contents(map).size).toBe(0);
  });
});

describe("pins and handles", () => {
  test("a pinned map is the same map", () => {
    const path = `${bpffs()}/map`;
    const map = create();
    map.pin(path);
    expect(nativeError(() => map.pin(path))).toMatchObject({ code: "EEXIST", operation: "pin" });
    map.set(u32(1), u32(2));
    const again = closing(BpfMap.openPinned(path));
    expect(again.info).toEqual(map.info);
    map.close();
    expect(again.get(u32(1))).toEqual(u32(2));
  });

  test("nothing pinned is ENOENT and names the path", () => {
    expect(nativeError(() => BpfMap.openPinned("/sys/fs/bpf/fwn-none"))).toMatchObject({
      code: "ENOENT",
      operation: "open pinned map",
      object: "/sys/fs/bpf/fwn-none",
    });
  });

  test("close is final and may be repeated", () => {
    const map = create();
    map.close();
    map.close();
    for (const use of [
      () => map.get(u32(1)),
      () => map.set(u32(1), u32(1)),
      () => map.getBatch(undefined, 1),
      () => map.deleteBatch(u32(1)),
      () => map.info,
      () => map.pin("/nowhere"),
    ]) {
      const error = nativeError(use);
      expect(error).toMatchObject({ code: "EBADF", object: "fwn_test" });
      expect(error.message).toMatch(/it was closed/);
    }
  });

  test("handles that nobody closed are closed when they are collected", () => {
    // Far more than the limit on open files would allow to leak.
    for (let i = 0; i < 3000; i++)
      BpfMap.create({ type: "array", name: "x", keySize: 4, valueSize: 4, maxEntries: 1 });
  });
});

describe("sums over CPUs", () => {
  test.each(["percpu_array", "percpu_hash", "lru_percpu_hash"])("%s", (type) => {
    const map = create({ type, valueSize: 16, maxEntries: 3 });
    const cpus = possibleCpus();
    for (let entry = 0; entry < 3; entry++) {
      const value = Buffer.alloc(map.valueLength);
      for (let cpu = 0; cpu < cpus; cpu++) {
        value.writeBigUInt64LE(BigInt(100 * entry + cpu), 16 * cpu);
        value.writeBigUInt64LE(2n ** 40n + BigInt(entry), 16 * cpu + 8);
      }
      map.set(u32(entry), value);
    }
    const found = new Map<number, number[]>();
    for (let cursor: Buffer | undefined, first = true; first || cursor !== undefined; first = false) {
      const batch = map.sumBatch(cursor, 2);
      for (let i = 0; i < batch.count; i++)
        found.set(batch.keys.readUInt32LE(4 * i), [...batch.sums.subarray(2 * i, 2 * i + 2)]);
      cursor = batch.cursor;
    }
    const sum = (entry: number) => [cpus * 100 * entry + (cpus * (cpus - 1)) / 2, cpus * (2 ** 40 + entry)];
    expect(found).toEqual(new Map([0, 1, 2].map((entry) => [entry, sum(entry)])));
  });

  test("a map that is not per CPU, or has other fields than u64, has none", () => {
    expect(nativeError(() => create().sumBatch(undefined, 1)).code).toBe("EINVAL");
    const odd = create({ type: "percpu_array", valueSize: 12 });
    expect(nativeError(() => odd.sumBatch(undefined, 1))).toMatchObject({ code: "EINVAL" });
  });
});
