/** The build of the eBPF object, where it has to say what is wrong. */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { exportedSymbols } from "../../../scripts/lib/bitcode.mjs";

const root = fileURLToPath(new URL("../../..", import.meta.url));
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "fairway-bpf-test-"));
});
afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** An executable script of ours in a directory of its own. */
function program(name: string, text: string): string {
  const path = join(directory, `${name}.bin`, name);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Builds one C source; what bpf.mjs says and its exit status. */
function build(name: string, source: string, environment: Record<string, string> = {}) {
  const from = join(directory, name);
  mkdirSync(from, { recursive: true });
  writeFileSync(join(from, "one.bpf.c"), source);
  const to = join(directory, `${name}.out`, "one.bpf.o");
  const script = join(root, "scripts", "bpf.mjs");
  const result = spawnSync(process.execPath, [script, "--from", from, "--to", to], {
    encoding: "utf8",
    env: { ...process.env, ...environment },
  });
  const lines = result.stderr.trim().split("\n");
  return { status: result.status, last: lines.at(-1), text: result.stderr };
}

const good = `#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
SEC("tc") int first(struct __sk_buff *skb) { return skb->len; }
char LICENSE[] SEC("license") = "GPL";
`;

describe("what goes wrong is said in one line, without a stack trace", () => {
  test("a linker that links another LLVM than the compiler's", () => {
    const ldd = program("ldd", "echo 'libLLVM-19.so.1 => /usr/lib/x86_64-linux-gnu/libLLVM-19.so.1 (0x0)'");
    const linker = program("bpf-linker", "echo bpf-linker 0.13.0");
    const environment = { FAIRWAY_BPF_LINKER: linker, PATH: `${join(ldd, "..")}:${process.env.PATH}` };
    const { status, last, text } = build("dynamic", good, environment);
    expect(status).toBe(1);
    expect(last).toMatch(
      /LLVM mismatch: \S*clang-\d+ writes LLVM \d+ bitcode, \S+ reads LLVM 19; .*npm run setup/,
    );
    expect(text).not.toContain("    at ");
  });

  test("a linker that can't read the bitcode", () => {
    const said = "Unknown attribute kind (102) (Producer: 'LLVM22.1.8' Reader: 'LLVM 19.1.7')";
    const linker = program("other-linker", `case $1 in --version) exit 0;; esac; echo "${said}" >&2; exit 1`);
    const { status, last } = build("static", good, { FAIRWAY_BPF_LINKER: linker });
    expect(status).toBe(1);
    expect(last).toMatch(
      /LLVM mismatch: the bitcode is of LLVM 22.1.8, bpf-linker reads LLVM 19.1.7; run `npm run setup`/,
    );
  });

  test("no linker", () => {
    const { status, last } = build("missing", good, { FAIRWAY_BPF_LINKER: "/nowhere/bpf-linker" });
    expect([status, last]).toEqual([
      1,
      expect.stringMatching(/no bpf-linker at \/nowhere.*run `npm run setup`$/),
    ]);
  });

  test("a C error, with the compiler's lines and the command", () => {
    const { status, last, text } = build("error", good.replace("skb->len", "skb->nothing"));
    expect(status).toBe(1);
    expect(text).toContain("no member named 'nothing'");
    expect(text).toMatch(/command: \S*clang-\d+ -target bpf/);
    expect(last).toMatch(/^error: .*clang-\d+ failed with status 1/);
  });
});

describe("what is exported", () => {
  test("programs and global data, no helpers, no declarations, nothing local", () => {
    const ir = `
@plain = dso_local constant i32 0, align 4
@map = weak dso_local global %struct.anon zeroinitializer, section ".maps", align 8
@LICENSE = dso_local global [4 x i8] c"GPL\\00", section "license", align 1
@elsewhere = external global i32, section ".ksyms"
@weak_elsewhere = extern_weak global i32, section ".ksyms"
@here = internal constant i32 3
@.str = private unnamed_addr constant [3 x i8] c"hi\\00"
@llvm.compiler.used = appending global [1 x ptr] [ptr @map], section "llvm.metadata"
define dso_local i32 @program(ptr noundef %0) #0 section "tc" !dbg !5 {
define dso_local i32 @helper(ptr noundef %0) #0 !dbg !6 {
define internal i32 @local(ptr noundef %0) #0 section "tc" {
declare i32 @kfunc(ptr) section ".ksyms"
`;
    expect(exportedSymbols(ir)).toEqual(["plain", "map", "LICENSE", "program"]);
  });
});
