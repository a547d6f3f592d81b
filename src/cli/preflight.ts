import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { UserError } from "../errors.js";
import { packageRoot } from "./package.js";

/** What is asked of the host; replaced in tests. */
export interface Host {
  platform: string;
  /** Effective user id. */
  uid: number;
  /** Effective capabilities (CapEff of /proc/self/status), a bit each. */
  capabilities: bigint;
  /** os.release(): "6.1.0-18-amd64" */
  kernel: string;
  exists(path: string): boolean;
  /** Where the object and the addon are. */
  packageRoot: string;
  /** FAIRWAY_NATIVE */
  addon: string | undefined;
}

const KERNEL_MINIMUM = [6, 1] as const;

export function thisHost(): Host {
  return {
    platform: process.platform,
    uid: process.geteuid?.() ?? -1,
    capabilities: effectiveCapabilities(),
    kernel: release(),
    exists: existsSync,
    packageRoot,
    addon: process.env.FAIRWAY_NATIVE,
  };
}

/**
 * Refuses a host on which nothing can work, before anything is touched.
 * @throws UserError in one line with the remedy
 */
export function preflight(host: Host, command: string): void {
  if (host.platform !== "linux") throw new UserError(`fairway runs on Linux, this is ${host.platform}`);
  requireRoot(host, command);
  requireKernel(host);
  requireBuilt(host);
}

/** linux/capability.h. CAP_SYS_ADMIN holds what CAP_PERFMON and CAP_BPF were taken out of. */
const CAPABILITIES = { NET_ADMIN: 12n, PERFMON: 38n, BPF: 39n } as const;
const CAP_SYS_ADMIN = 21n;

/** Root, and a root that may do what root may: a container's usually may not. */
export function requireRoot(host: Host, command: string): void {
  if (host.uid !== 0) {
    throw new UserError(`fairway ${command} needs root to deal with eBPF`, {
      remedy: `run it with sudo: sudo fairway ${command}`,
    });
  }
  const has = (bit: bigint) => (host.capabilities & (1n << bit)) !== 0n;
  const missing = Object.entries(CAPABILITIES)
    .filter(([name, bit]) => !has(bit) && (name === "NET_ADMIN" || !has(CAP_SYS_ADMIN)))
    .map(([name]) => name);
  if (missing.length > 0) {
    throw new UserError(`fairway ${command} lacks the capabilities ${missing.join(", ")}`, {
      remedy: `in a container, add --cap-add ${missing.join(" --cap-add ")} or --privileged`,
    });
  }
}

function effectiveCapabilities(): bigint {
  try {
    const hex = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    return hex === undefined ? 0n : BigInt(`0x${hex}`);
  } catch {
    // No /proc, no Linux; the platform is checked before.
    return 0n;
  }
}

function requireKernel(host: Host): void {
  const [major, minor] = host.kernel.split(".").map((part) => Number.parseInt(part, 10));
  const [needMajor, needMinor] = KERNEL_MINIMUM;
  if (major !== undefined && minor !== undefined) {
    if (major < needMajor || (major === needMajor && minor < needMinor)) {
      throw new UserError(`kernel ${host.kernel} is too old`, {
        remedy: `fairway needs ${KERNEL_MINIMUM.join(".")} or newer (Debian 12, Ubuntu 24.04)`,
      });
    }
  }
  if (!host.exists("/sys/kernel/btf/vmlinux")) {
    throw new UserError("this kernel has no BTF (/sys/kernel/btf/vmlinux is missing)", {
      remedy:
        "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, as all distributions' kernels since 2021 are",
    });
  }
}

/** The addon and the object: made by `npm run build`, carried by the package. */
export function requireBuilt(host: Host): void {
  const parts = [
    ["native addon", host.addon ?? join(host.packageRoot, "build/Release/fairway_native.node")],
    ["eBPF object", join(host.packageRoot, "build/fairway.bpf.o")],
  ] as const;
  for (const [what, path] of parts) {
    if (!host.exists(path)) {
      throw new UserError(`the ${what} is not built (${path} is missing)`, {
        remedy: `run npm run build in ${host.packageRoot}`,
      });
    }
  }
}
