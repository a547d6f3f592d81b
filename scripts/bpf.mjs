// Compiles every bpf/*.bpf.c to bitcode and links them into one object, build/fairway.bpf.o.
//
//   node scripts/bpf.mjs
//   node scripts/bpf.mjs --from DIR --to FILE     other sources, for tests of the generator

import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { bpfLinkerPath } from "./bpf-linker.mjs";
import { exportedSymbols } from "./lib/bitcode.mjs";
import { filesUnder } from "./lib/current.mjs";
import { emitter, emittingSource } from "./lib/emitted-types.mjs";
import { linkedLlvm, requireLlvm } from "./lib/llvm.mjs";
import { bpfObject, root } from "./lib/paths.mjs";
import { ask, Failure, run } from "./lib/run.mjs";
import { isMain, main, step } from "./lib/step.mjs";
import { libbpfDir } from "./libbpf.mjs";

/** -mcpu=v3: 32-bit registers and jumps, atomics with fetch; every kernel since 5.12 has them. */
const target = "v3";

/** How each source is compiled; -g gives the debug information that BTF is made from. */
const compileFlags = [
  "-target",
  "bpf",
  "-g",
  "-O2",
  `-mcpu=${target}`,
  "-Wall",
  "-Wextra",
  "-Werror",
  "-emit-llvm",
  "-c",
];

/**
 * How often a source is compiled: once for each family if it names things by FAMILY_NAME(), once for each kind of link if it
 * does by LINK_NAME() (bpf/lib/family.h).
 * @param {string} source
 */
function variantsOf(source) {
  const text = readFileSync(source, "utf8");
  const families = /\bFAMILY_NAME\(/.test(text) ? ["4", "6"] : [undefined];
  const named = basename(source).replace(/\.bpf\.c$/, "");
  const links = /\bLINK_NAME\(|\bFAMILY_NAME\(uplink_/.test(text) ? ["14", "0"] : [undefined];
  return families.flatMap((family) =>
    links.map((link) => ({
      source,
      name: named + (link === "0" ? "_l3" : "") + (family ? `_ipv${family}` : ""),
      defines: [...(family ? [`-DFAMILY=${family}`] : []), ...(link ? [`-DLINK_HEADER_LENGTH=${link}`] : [])],
    })),
  );
}

/**
 * One line when the compiler's LLVM is not the linker's: bitcode is only read by its own version.
 * @param {{ major: number, clang: string }} llvm
 * @param {string} linker
 */
function checkVersions(llvm, linker) {
  const linked = linkedLlvm(linker);
  if (linked === undefined || linked === llvm.major) return;
  throw new Failure(
    `LLVM mismatch: ${llvm.clang} writes LLVM ${llvm.major} bitcode, ${linker} reads LLVM ${linked}`,
    {
      remedy: `remove ${dirname(dirname(linker))} and run \`npm run setup\`, or unset FAIRWAY_BPF_LINKER`,
    },
  );
}

/**
 * The linker's words when the bitcode is of another LLVM, made into one line.
 * @param {unknown} error
 * @returns {never}
 */
function explainLinkFailure(error) {
  const output = error instanceof Failure ? (error.detail.output ?? "") : "";
  const producer = output.match(/Producer: '?LLVM ?([\d.]+)/)?.[1];
  const reader = output.match(/Reader: '?LLVM ?([\d.]+)/)?.[1];
  if (!producer || !reader) throw error;
  throw new Failure(`LLVM mismatch: the bitcode is of LLVM ${producer}, bpf-linker reads LLVM ${reader}`, {
    remedy: "run `npm run setup`, or unset FAIRWAY_BPF_LINKER",
  });
}

/**
 * Compiles and links.
 * @param {string[]} sources
 * @param {string[]} headers those whose types all go into BTF
 * @param {string} object
 * @param {(line: string) => void} progress
 */
async function build(sources, headers, object, progress) {
  const llvm = requireLlvm();
  const linker = bpfLinkerPath(llvm);
  if (!existsSync(linker)) throw new Failure(`no bpf-linker at ${linker}`, { remedy: "run `npm run setup`" });
  checkVersions(llvm, linker);

  const directory = join(dirname(object), "bpf");
  mkdirSync(directory, { recursive: true });
  const headerDirectories = headers.map((header) => dirname(header));
  const include = [
    ...headerDirectories,
    join(root, "bpf"),
    join(root, "bpf", "lib"),
    join(libbpfDir, "include"),
  ];
  const includeFlags = include.flatMap((path) => ["-I", path]);
  const types = join(directory, "types.bpf.c");
  writeFileSync(types, emittingSource(headers));
  /** @type {string[]} */
  const bitcodes = [];
  const exported = new Set([emitter]);
  for (const { source, name, defines } of [...sources, types].flatMap(variantsOf)) {
    progress(name);
    const bitcode = join(directory, `${name}.bc`);
    await run([llvm.clang, ...compileFlags, ...defines, ...includeFlags, source, "-o", bitcode]);
    for (const symbol of exportedSymbols(await run([llvm.dis, bitcode, "-o", "-"]))) exported.add(symbol);
    bitcodes.push(bitcode);
  }
  if (exported.size === 1)
    throw new Failure(`no program and no map in ${sources.map((s) => basename(s)).join(", ")}`);

  const symbols = join(directory, "exports");
  writeFileSync(symbols, [...exported].sort().join("\n"));
  const unfinished = `${object}.part`;
  const link = [
    linker,
    "--target",
    "bpfel",
    "--cpu",
    target,
    "-O",
    "2",
    "--btf",
    "--disable-memory-builtins",
    "--disable-expand-memcpy-in-order",
  ];
  await run([...link, "--export-symbols", symbols, "-o", unfinished, ...bitcodes]).catch(explainLinkFailure);
  renameSync(unfinished, object);
}

/**
 * The object, rebuilt when a source, a header, the compiler or the linker changed.
 * @param {{ from?: string, to?: string }} [options]
 * @returns {Promise<boolean>} true when it was rebuilt
 */
export async function buildBpf({ from = join(root, "bpf"), to = bpfObject } = {}) {
  const sources = filesUnder([from], (path) => path.endsWith(".bpf.c"));
  if (sources.length === 0) throw new Failure(`no *.bpf.c in ${from}`);
  const headers = filesUnder([from], (path) => basename(path) === "types.h");
  const llvm = requireLlvm();
  const tools = [
    ask([llvm.clang, "--version"]),
    ask([bpfLinkerPath(llvm), "--version"]),
    bpfLinkerPath(llvm),
  ];
  return step({
    name: `eBPF object ${basename(to)}`,
    from: {
      files: [...filesUnder([from, join(root, "bpf")], (path) => /\.[ch]$/.test(path)), import.meta.filename],
      more: [compileFlags, tools, to],
      outputs: [to],
    },
    work: (progress) => build(sources, headers, to, progress),
  });
}

if (isMain(import.meta.url)) {
  const { values } = parseArgs({ options: { from: { type: "string" }, to: { type: "string" } } });
  await main(() =>
    buildBpf({ from: values.from && resolve(values.from), to: values.to ? resolve(values.to) : undefined }),
  );
}
