// Which clang and LLVM to use: the newest that is installed and that bpf-linker can be built against.

import { existsSync } from "node:fs";
import { ask, Failure, which } from "./run.mjs";
import { bpfLinker } from "./versions.mjs";

/** Debian and Ubuntu put each LLVM under its own prefix. @param {number} major */
export const llvmPrefix = (major) => `/usr/lib/llvm-${major}`;

/**
 * @typedef {object} Llvm
 * @property {number} major
 * @property {string} prefix directory with bin, lib and include
 * @property {string} clang path of clang
 * @property {string} dis path of llvm-dis
 */

/**
 * The installed LLVM to build with, or undefined when set-up has yet to install one.
 * @returns {Llvm | undefined}
 */
export function findLlvm() {
  for (const major of bpfLinker.llvm) {
    const clang = which(`clang-${major}`);
    const dis = which(`llvm-dis-${major}`);
    const prefix = llvmPrefix(major);
    if (clang && dis && existsSync(`${prefix}/bin/llvm-config`)) return { major, prefix, clang, dis };
  }
  return undefined;
}

/**
 * As findLlvm, but missing is an error.
 * @throws {Failure}
 */
export function requireLlvm() {
  const llvm = findLlvm();
  if (llvm) return llvm;
  throw new Failure(`no clang and LLVM of version ${bpfLinker.llvm.join(", ")} found`, {
    remedy: "run `npm run setup`, or install clang-22 and llvm-22-dev",
  });
}

/**
 * The LLVM that a bpf-linker binary uses, when it links it dynamically (as ours does).
 * @param {string} binary
 * @returns {number | undefined}
 */
export function linkedLlvm(binary) {
  const match = ask(["ldd", binary])?.match(/libLLVM(?:-|\.so\.)(\d+)/);
  return match ? Number(match[1]) : undefined;
}
