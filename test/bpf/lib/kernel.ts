/** What the tests ask of the kernel, and older ones refuse. */
import { release } from "node:os";

const [major = 0, minor = 0] = release()
  .split(".")
  .map((part) => Number.parseInt(part, 10));

/** Whether it can be given packets with a NIC's sum of all that is behind the link header (6.16). */
export const canSum = major > 6 || (major === 6 && minor >= 16);
