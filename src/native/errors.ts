import { constants } from "node:os";

/** What the addon hands over when a call failed; see native/error.cc. */
export interface NativeFailure {
  errno: number;
  operation: string;
  object: string;
  /** The C library's text for errno. */
  text: string;
  /** What more the kernel or libbpf said in one line: an extended ack of netlink, the two sizes that differ. */
  detail?: string;
  /** libbpf's own lines and the end of the verifier's log. */
  log?: string;
}

/** Errors that the kernel uses inside but hands out all the same, and names that Node lists twice. */
const names = new Map<number, string>([[524, "ENOTSUPP"]]);
for (const [name, number] of Object.entries(constants.errno)) {
  if (!names.has(number)) names.set(number, name);
}
names.set(constants.errno.EAGAIN, "EAGAIN");
names.set(constants.errno.EOPNOTSUPP, "EOPNOTSUPP");

/**
 * One class for every failure of the kernel, libbpf or netlink, and for wrong arguments that the binding itself
 * refuses: `EMSGSIZE` (a buffer whose size is not the map's), `EBADF` (used after close), `EINVAL`.
 * The message reads "load program uplink_ingress: Invalid argument (EINVAL)".
 */
export class NativeError extends Error {
  override readonly name = "NativeError";
  /** "EINVAL", "ENOENT", ...; "E123" for a number without a name. */
  readonly code: string;
  readonly errno: number;
  /** What was tried: "load program", "update map", "attach tcx". */
  readonly operation: string;
  /** To what: a map's, program's or device's name, a path. */
  readonly object: string;
  /** libbpf's own lines and the last lines of the verifier's log, where there are any. */
  readonly log?: string;

  constructor(failure: NativeFailure) {
    const code = names.get(failure.errno) ?? `E${failure.errno}`;
    const subject = failure.object === "" ? failure.operation : `${failure.operation} ${failure.object}`;
    const detail = failure.detail === undefined ? "" : `: ${failure.detail}`;
    super(`${subject}: ${failure.text} (${code})${detail}`);
    this.code = code;
    this.errno = failure.errno;
    this.operation = failure.operation;
    this.object = failure.object;
    if (failure.log !== undefined) this.log = failure.log;
  }
}
