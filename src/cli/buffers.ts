import { returnLargeBlocks } from "../native/index.js";

/** Bytes. */
const LARGE_BLOCK = 128 * 1024;

/** Has what is freed beside V8's heap go back to the kernel: the first pass and the first scrape take megabytes that nothing needs afterwards. */
export function keepBuffersSmall(): void {
  returnLargeBlocks(LARGE_BLOCK);
}
