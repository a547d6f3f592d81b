// What this machine must be. Each failure is one line with its remedy.

import { existsSync, readFileSync, statfsSync } from "node:fs";
import { release } from "node:os";
import { atLeast, Failure, versionIn } from "./run.mjs";
import { minimumKernel, minimumNode } from "./versions.mjs";

/** Where eBPF objects are pinned. */
export const bpffs = "/sys/fs/bpf";

/** What statfs says of a bpffs: BPF_FS_MAGIC, include/uapi/linux/magic.h. */
const BPF_FS_MAGIC = 0xcafe4a11;

/** @throws {Failure} */
export function checkNode() {
  if (atLeast(versionIn(process.version), minimumNode)) return;
  throw new Failure(`Node ${process.version} is too old`, {
    remedy: `install Node ${minimumNode.join(".")} or newer`,
  });
}

/**
 * Everything that running needs and that no package brings.
 * @throws {Failure}
 */
export function checkHost() {
  if (process.platform !== "linux") throw new Failure("fairway runs on Linux only");
  checkRoot();
  if (!atLeast(versionIn(release()), minimumKernel)) {
    throw new Failure(`kernel ${release()} is too old`, {
      remedy: `boot Linux ${minimumKernel.join(".")} or newer (Debian 12 and Ubuntu 24.04 have it)`,
    });
  }
  if (!existsSync("/sys/kernel/btf/vmlinux")) {
    const mounted = existsSync("/sys/kernel");
    throw new Failure("the kernel's type information, /sys/kernel/btf/vmlinux, is missing", {
      remedy: mounted ? "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y" : "mount sysfs on /sys",
    });
  }
}

/** @throws {Failure} */
export function checkRoot() {
  if (process.getuid?.() === 0) return;
  throw new Failure("loading eBPF programs and installing packages needs root", {
    remedy: "run it as root, for example with sudo",
  });
}

/** Is there a bpffs, where pinned programs and maps outlive the daemon? */
export function bpffsMounted() {
  return existsSync(bpffs) && statfsSync(bpffs).type === BPF_FS_MAGIC;
}

/** Is it Debian or one of its descendants? */
export function hasApt() {
  return existsSync("/usr/bin/apt-get");
}

/** The distribution as it calls itself. */
export function distribution() {
  const path = "/etc/os-release";
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  return text.match(/^PRETTY_NAME="?([^"\n]*)/m)?.[1] ?? "this system";
}
