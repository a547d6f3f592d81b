import { beforeAll, describe, expect, test } from "vitest";
import { BpfMap, BpfObject, BpfProgram, nsPerJiffy, possibleCpus } from "../../../src/native/index.js";
import { bpffs, closing, compile, frame, nativeError, u32 } from "./support.js";

let sample: Buffer;
let refused: Buffer;
beforeAll(() => {
  sample = compile("sample");
  refused = compile("refused");
});

function open(image = sample): BpfObject {
  return closing(BpfObject.open(image, "sample"));
}

/** struct __sk_buff with a mark: the only field besides cb that a test run takes over from it. */
function context(mark: number): Buffer {
  const skb = Buffer.alloc(192);
  skb.writeUInt32LE(mark, 8);
  return skb;
}

describe("an object before it is loaded", () => {
  test("lists its maps and programs", () => {
    const object = open();
    expect(object.maps.sort()).toEqual(["pairs", "records", "runs", "trace"]);
    expect(object.programs).toContainEqual({ name: "constants", section: "tc", type: "sched_cls" });
    expect(object.programs).toContainEqual({ name: "xdp_pass", section: "xdp", type: "xdp" });
    expect(object.programs).toContainEqual({ name: "tcx_one", section: "tcx/ingress", type: "sched_cls" });
    expect(object.programs).toContainEqual({
      name: "refuse",
      section: "cgroup/connect4",
      type: "cgroup_sock_addr",
    });
  });

  test("is refused when it is no object", () => {
    const error = nativeError(() => BpfObject.open(Buffer.from("not an object"), "nonsense"));
    expect(error).toMatchObject({ operation: "open object", object: "nonsense" });
    expect(error.log).toMatch(/libbpf: /);
    expect(() => BpfObject.open(Buffer.alloc(0))).toThrow();
    // Every cut of a good one: an error, never a crash.
    for (let size = 0; size < sample.length; size += 997) {
      expect(() => BpfObject.open(sample.subarray(0, size)).close()).toThrow();
    }
  });

  test("knows what it has not", () => {
    const object = open();
    expect(nativeError(() => object.setConstant("question", u32(1)))).toMatchObject({
      code: "ENOENT",
      object: "question",
    });
    expect(nativeError(() => object.setMaxEntries("nothing", 1)).code).toBe("ENOENT");
    expect(nativeError(() => object.setAutoload("nothing", false)).code).toBe("ENOENT");
    expect(nativeError(() => object.map("nothing")).code).toBe("ENOENT");
    expect(nativeError(() => object.map("pairs")).message).toMatch(/it was not loaded/);
    expect(nativeError(() => object.program("constants")).message).toMatch(/it was not loaded/);
  });

  test("takes constants only in their size", () => {
    const object = open();
    for (const [name, size] of [
      ["answer", 4],
      ["pair", 16],
      ["bytes", 6],
    ] as const) {
      expect(nativeError(() => object.setConstant(name, Buffer.alloc(size + 1))).code).toBe("EMSGSIZE");
      object.setConstant(name, Buffer.alloc(size));
    }
  });
});

describe("a loaded object", () => {
  test("runs with the constants that were set", () => {
    const object = open();
    object.setConstant("answer", u32(42));
    const pair = Buffer.alloc(16);
    pair.writeUInt16LE(0x1234, 0);
    pair.writeBigUInt64LE(0x1122334455667788n, 8);
    object.setConstant("pair", pair);
    object.setConstant("bytes", Buffer.from([0, 0, 0, 0, 0, 200]));
    object.load();
    const program = closing(object.program("constants"));
    const data = frame();
    const result = program.testRun({ data, context: context(1000), repeat: 3 });
    expect(result.returnValue).toBe(42);
    expect(result.data.length).toBe(data.length);
    expect(result.data[0]).toBe(0xaa);
    expect(result.context.readUInt32LE(8)).toBe(1000 + 3 * 200);
    expect(result.durationNs).toBeGreaterThanOrEqual(0);
    const stored = closing(object.map("pairs")).get(u32(0));
    expect(stored?.readUInt16LE(0)).toBe(0x1234);
    expect(stored?.readBigUInt64LE(8)).toBe(0x1122334455667788n);
    const runs = closing(object.map("runs")).get(u32(0));
    let sum = 0;
    for (let cpu = 0; cpu < possibleCpus(); cpu++) sum += runs?.readUInt32LE(8 * cpu) ?? 0;
    expect(sum).toBe(3);
  });

  test("tells of its programs", () => {
    const object = open();
    object.load();
    const program = closing(object.program("constants"));
    const info = program.info;
    expect(info).toMatchObject({ name: "constants", type: "sched_cls" });
    expect(info.tag).toMatch(/^[0-9a-f]{16}$/);
    expect(info.instructions).toBeGreaterThan(10);
    expect(info.verifiedInstructions).toBeGreaterThan(10);
    const again = closing(BpfProgram.openById(info.id));
    expect(again.info.tag).toBe(info.tag);
    expect(nativeError(() => BpfProgram.openById(0x7fffffff)).code).toBe("ENOENT");
  });

  test("gives handles that outlive it, and nothing after close", () => {
    const object = open();
    object.load();
    const program = closing(object.program("constants"));
    const map = closing(object.map("pairs"));
    object.close();
    object.close();
    expect(program.testRun({ data: frame() }).returnValue).toBe(1);
    expect(map.get(u32(0))).toBeDefined();
    expect(nativeError(() => object.maps)).toMatchObject({ code: "EBADF", object: "sample" });
    program.close();
    expect(nativeError(() => program.testRun({ data: frame() }))).toMatchObject({
      code: "EBADF",
      object: "constants",
    });
  });

  test("can't be changed or loaded again", () => {
    const object = open();
    object.load();
    expect(nativeError(() => object.load()).code).toBe("EBUSY");
    expect(nativeError(() => object.setConstant("answer", u32(1))).code).toBe("EBUSY");
    expect(nativeError(() => object.setMaxEntries("pairs", 5)).code).toBe("EBUSY");
    expect(nativeError(() => object.setAutoload("constants", false)).code).toBe("EBUSY");
  });

  test("has maps of the size that was set, and not the programs that were left out", () => {
    const object = open();
    object.setMaxEntries("pairs", 77);
    object.setAutoload("xdp_pass", false);
    object.load();
    expect(closing(object.map("pairs")).info.maxEntries).toBe(77);
    expect(nativeError(() => object.program("xdp_pass")).code).toBe("ENOENT");
  });

  test("test runs: a packet that is too short, one that grows, and a program that has none", () => {
    const object = open();
    object.load();
    const constants = closing(object.program("constants"));
    expect(nativeError(() => constants.testRun({ data: Buffer.alloc(10) })).code).toBe("EINVAL");
    const grow = closing(object.program("grow"));
    expect(grow.testRun({ data: frame() }).data.length).toBe(64 + 1000);
    const error = nativeError(() => grow.testRun({ data: frame(), dataOutSize: 100 }));
    expect(error).toMatchObject({ code: "ENOSPC", operation: "test run", object: "grow" });
    expect(error.message).toMatch(/grew to 1064 bytes, there was room for 100/);
    const refuse = closing(object.program("refuse"));
    expect(nativeError(() => refuse.testRun({ data: frame() })).code).toBe("ENOTSUPP");
    const xdp = closing(object.program("xdp_pass"));
    expect(xdp.testRun({ data: frame() })).toMatchObject({ returnValue: 2 });
  });
});

describe("a program of type syscall", () => {
  const question = (one: bigint, other: bigint) => {
    const context = Buffer.alloc(24);
    context.writeBigUInt64LE(one, 0);
    context.writeBigUInt64LE(other, 8);
    return context;
  };

  test("runs with a context, and answers in it", () => {
    const object = open();
    object.load();
    const add = closing(object.program("add_up"));
    const context = question(40n, 2n);
    const result = add.run(context);
    expect(result.returnValue).toBe(3);
    expect(result.context.readBigUInt64LE(16)).toBe(42n);
    expect(result.context.subarray(0, 16)).toEqual(context.subarray(0, 16));
    // What was given is as it was.
    expect(context.readBigUInt64LE(16)).toBe(0n);
    expect(add.run(question(0n, 1n)).returnValue).toBe(0xffffffff);
  });

  test("names what is wrong", () => {
    const object = open();
    object.load();
    const add = closing(object.program("add_up"));
    const short = nativeError(() => add.run(Buffer.alloc(8)));
    expect(short).toMatchObject({ code: "EINVAL", operation: "run", object: "add_up" });
    expect(nativeError(() => add.run(Buffer.alloc(0))).code).toBe("EINVAL");
    expect(() => add.run("text" as unknown as Buffer)).toThrow(TypeError);
    const tc = closing(object.program("constants"));
    expect(nativeError(() => tc.run(question(1n, 1n))).code).toBe("EINVAL");
    add.close();
    expect(nativeError(() => add.run(question(1n, 1n))).code).toBe("EBADF");
  });
});

describe("a program that the verifier refuses", () => {
  test("gives the verdict in the message and the end of the log", () => {
    const object = open(refused);
    const error = nativeError(() => object.load());
    expect(error).toMatchObject({ operation: "load program", object: "reads_beyond" });
    expect(["EACCES", "EINVAL"]).toContain(error.code);
    expect(error.message).toMatch(/outside of the packet|invalid access to packet/);
    expect(error.message).not.toMatch(/\n/);
    const lines = error.log?.split("\n") ?? [];
    expect(lines.length).toBeLessThan(65);
    expect(lines.some((line) => line.startsWith("libbpf: "))).toBe(true);
    expect(error.log).toMatch(/lines left out/);
    expect(error.log).toMatch(/invalid/);
    expect(nativeError(() => object.load()).code).toBe("EBADF");
  });

  test("does not disturb the others when it is left out", () => {
    const object = open(refused);
    object.setAutoload("reads_beyond", false);
    object.load();
    expect(closing(object.program("fine")).testRun({ data: frame() }).returnValue).toBe(0);
  });
});

describe("maps that exist already", () => {
  test("are used in place of the declared ones", () => {
    const path = `${bpffs()}/pairs`;
    const first = open();
    first.load();
    const pinned = closing(first.map("pairs"));
    pinned.pin(path);

    const second = open();
    second.setConstant("pair", Buffer.alloc(16, 9));
    second.reuseMap("pairs", closing(BpfMap.openPinned(path)));
    second.load();
    expect(closing(second.map("pairs")).info.id).toBe(pinned.info.id);
    closing(second.program("constants")).testRun({ data: frame() });
    expect(pinned.get(u32(0))?.readUInt16LE(0)).toBe(0x0909);
  });

  const others: [string, Parameters<typeof BpfMap.create>[0], RegExp][] = [
    [
      "type",
      { type: "lru_hash", name: "m", keySize: 4, valueSize: 16, maxEntries: 16 },
      /type is 9, declared is 1/,
    ],
    ["key size", { type: "hash", name: "m", keySize: 8, valueSize: 16, maxEntries: 16 }, /key size is 8/],
    ["value size", { type: "hash", name: "m", keySize: 4, valueSize: 8, maxEntries: 16 }, /value size is 8/],
    ["entries", { type: "hash", name: "m", keySize: 4, valueSize: 16, maxEntries: 9 }, /entries is 9/],
    ["flags", { type: "hash", name: "m", keySize: 4, valueSize: 16, maxEntries: 16, flags: 1 }, /flags is 1/],
  ];
  test.each(others)("are refused when the %s differs", (_, spec, message) => {
    const object = open();
    const error = nativeError(() => object.reuseMap("pairs", closing(BpfMap.create(spec))));
    expect(error).toMatchObject({ code: "EINVAL", operation: "reuse map", object: "pairs" });
    expect(error.message).toMatch(message);
  });

  test("may have the size that was set", () => {
    const spec = { type: "hash", name: "m", keySize: 4, valueSize: 16, maxEntries: 9 };
    const object = open();
    object.setMaxEntries("pairs", 9);
    object.reuseMap("pairs", closing(BpfMap.create(spec)));
    object.load();
    expect(closing(object.map("pairs")).info.maxEntries).toBe(9);
  });
});

test("pinned programs open again; what is no program does not", () => {
  const directory = bpffs();
  const object = open();
  object.load();
  const program = closing(object.program("constants"));
  program.pin(`${directory}/program`);
  closing(object.map("pairs")).pin(`${directory}/map`);
  expect(closing(BpfProgram.openPinned(`${directory}/program`)).info.id).toBe(program.info.id);
  expect(nativeError(() => BpfProgram.openPinned(`${directory}/map`)).code).toBe("EINVAL");
  expect(nativeError(() => BpfMap.openPinned(`${directory}/program`)).code).toBe("EINVAL");
});

test("the kernel's tick is one that kernels are built with", () => {
  const perSecond = 1e9 / nsPerJiffy();
  expect([100, 250, 300, 1000].some((hz) => Math.abs(perSecond - hz) < 0.01)).toBe(true);
});
