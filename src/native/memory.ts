import { addon } from "./addon.js";

/**
 * Memory that is allocated beside the JavaScript heap in blocks of this size and more is given back to the kernel as soon as it is freed. The
 * C library does so only until it has seen larger blocks freed (mallopt(3), M_MMAP_THRESHOLD), and then lets megabytes lie in between
 * others. Nothing where it is not glibc.
 */
export function returnLargeBlocks(bytes: number): void {
  addon().returnLargeBlocks(bytes);
}
