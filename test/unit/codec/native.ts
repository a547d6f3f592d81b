import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's top directory. */
export const root = fileURLToPath(new URL("../../..", import.meta.url));

/** Where these tests build things. */
export const work = join(root, "build", "test", "codec");

/**
 * Compiles a C program for this machine and returns the lines that it prints.
 * @param name of the binary
 * @param source path of the C file
 * @param include directories of headers
 */
export function runC(name: string, source: string, include: string[]): string[] {
  mkdirSync(work, { recursive: true });
  const binary = join(work, name);
  // vmlinux.h's attributes for CO-RE mean something to the BPF target only.
  const quiet = ["-Wno-unknown-pragmas", "-Wno-attributes"];
  execFileSync("cc", [...quiet, ...include.flatMap((path) => ["-I", path]), source, "-o", binary]);
  return execFileSync(binary, { encoding: "utf8" }).trim().split("\n");
}

/** As runC, of C text. */
export function runCText(name: string, text: string, include: string[]): string[] {
  mkdirSync(work, { recursive: true });
  const source = join(work, `${name}.c`);
  writeFileSync(source, text);
  return runC(name, source, include);
}

/** Runs one of the build's scripts. */
export function script(name: string, ...args: string[]): void {
  execFileSync(process.execPath, [join(root, "scripts", name), ...args], { cwd: root, stdio: "pipe" });
}
