// The small root that a kernel starts with: busybox, init.sh, and the modules that lead to the real root.

import { copyFile, mkdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { run } from "../../lab/lib/process.js";
import type { Kernel } from "./kernel.js";

/** By 9p over virtio to the host's files, with an overlay above; by virtio-serial to the test. */
const modules = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console"];

/** The files of the modules and what they need, in the order to load them. */
async function moduleFiles({ modules: at, release }: Kernel): Promise<string[]> {
  const files = new Set<string>();
  for (const module of modules) {
    const lines = await run([
      "modprobe",
      "-d",
      dirname(dirname(at)),
      "-S",
      release,
      "--show-depends",
      module,
    ]);
    for (const [, file] of lines.stdout.matchAll(/^insmod (\S+)/gm)) files.add(file ?? "");
  }
  return [...files];
}

/** Writes the initramfs of a kernel below a directory and returns its path. */
export async function makeInitramfs(kernel: Kernel, directory: string): Promise<string> {
  const root = join(directory, "initramfs");
  await mkdir(join(root, "bin"), { recursive: true });
  await mkdir(join(root, "modules"));
  await copyFile("/bin/busybox", join(root, "bin", "busybox"));
  await copyFile(join(import.meta.dirname, "init.sh"), join(root, "init"));
  for (const [index, file] of (await moduleFiles(kernel)).entries()) {
    const name = `${String(index).padStart(2, "0")}-${basename(file).replace(/\.xz$/, "")}`;
    await run(["sh", "-c", `xz --decompress --force --stdout '${file}' > '${join(root, "modules", name)}'`]);
  }
  const archive = `${root}.cpio`;
  await run(["sh", "-c", `cd '${root}' && chmod +x init && find . | busybox cpio -o -H newc > '${archive}'`]);
  return archive;
}
