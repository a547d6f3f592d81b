import { existsSync } from "node:fs";
import { addon } from "./addon.js";

/** How many CPUs the machine may ever have: what a per-CPU map's value has room for. */
export function possibleCpus(): number {
  return addon().possibleCpus();
}

/** Nanoseconds of the kernel's tick, 1,000,000,000 / CONFIG_HZ: 1,000,000 to 10,000,000. */
export function nsPerJiffy(): number {
  return addon().nsPerJiffy();
}

/** Whether the kernel carries its own BTF, without which CO-RE objects can't be loaded. */
export function kernelBtfAvailable(): boolean {
  return existsSync("/sys/kernel/btf/vmlinux");
}

/** Whether the kernel has TCX; asked of the kernel, not guessed from its version. EPERM without CAP_NET_ADMIN. */
export function supportsTcx(): boolean {
  return addon().supportsTcx();
}

/**
 * Moves the calling thread (and so the processes that it starts from then on) into the network namespace at `path`. For
 * tests and tools that look at a namespace of their own; sockets that are open stay where they are.
 */
export function enterNetworkNamespace(path: string): void {
  addon().enterNetworkNamespace(path);
}
