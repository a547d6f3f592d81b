import { addon, type ProgramHandle } from "./addon.js";
import type { ClsactFilter, ProgramInfo, RunResult, TestRunOptions, TestRunResult } from "./bpf-types.js";
import { NativeError } from "./errors.js";
import { BpfLink } from "./link.js";

export type Direction = "ingress" | "egress";

export interface TcxOptions {
  ifindex: number;
  direction: Direction;
  /** Among the programs of the hook; before and after name one by its program id. Default "last". */
  position?: "first" | "last" | { before: number } | { after: number };
}

export interface ClsactOptions {
  ifindex: number;
  direction: Direction;
  /** 1..65535; with the handle it names the filter. */
  priority: number;
  handle: number;
}

const directions = { ingress: 0, egress: 1 } as const;

/** What drivers say when they have no XDP, or not for this MTU, these features or this program. */
const noNativeXdp = new Set(["EOPNOTSUPP", "ENOTSUPP", "EINVAL", "ERANGE", "ENOSYS"]);

/** A loaded BPF program by its file descriptor. */
export class BpfProgram {
  /** For the classes beside this one; not part of the surface. */
  readonly handle: ProgramHandle;

  private constructor(handle: ProgramHandle) {
    this.handle = handle;
  }

  /** For the classes beside this one: wraps what the addon returned. */
  static fromHandle(handle: ProgramHandle): BpfProgram {
    return new BpfProgram(handle);
  }

  /** Opens a program pinned under a bpffs. NativeError: ENOENT, EINVAL (another kind of object is pinned there), ... */
  static openPinned(path: string): BpfProgram {
    return new BpfProgram(addon().openPinnedProgram(path));
  }

  /** Opens a program by the kernel's id; ENOENT when it is gone. */
  static openById(id: number): BpfProgram {
    return new BpfProgram(addon().openProgramById(id));
  }

  /** Fresh on every access. */
  get info(): ProgramInfo {
    return this.handle.info();
  }

  /** Runs the program on a packet without a device (BPF_PROG_TEST_RUN). ENOTSUPP where its type has no test run. */
  testRun(options: TestRunOptions): TestRunResult {
    return this.handle.testRun(options);
  }

  /** Runs a program of type "syscall" once, in the calling process, with its context. */
  run(context: Uint8Array): RunResult {
    return this.handle.run(context);
  }

  /**
   * Attaches a tc program by TCX (kernel 6.6 or newer). EEXIST: this very program is there already; ENOENT: the program
   * named by before or after isn't; ENODEV: no such device.
   */
  attachTcx(options: TcxOptions): BpfLink {
    const position = options.position ?? "last";
    let before = position === "first";
    let relativeId = 0;
    if (typeof position === "object") {
      before = "before" in position;
      relativeId = "before" in position ? position.before : position.after;
    }
    const direction = directions[options.direction];
    return BpfLink.fromHandle(this.handle.attachTcx(options.ifindex, direction, before, relativeId));
  }

  /**
   * Attaches an XDP program: "native" in the driver, "generic" in the stack, "auto" in the driver and, where that can't,
   * in the stack; `mode` says which it became. EBUSY: another XDP program is there.
   */
  attachXdp(options: { ifindex: number; mode: "auto" | "native" | "generic" }): {
    link: BpfLink;
    mode: "native" | "generic";
  } {
    if (options.mode !== "generic") {
      try {
        return { link: BpfLink.fromHandle(this.handle.attachXdp(options.ifindex, false)), mode: "native" };
      } catch (error) {
        const hopeless = !(error instanceof NativeError) || !noNativeXdp.has(error.code);
        if (options.mode === "native" || hopeless) throw error;
      }
    }
    return { link: BpfLink.fromHandle(this.handle.attachXdp(options.ifindex, true)), mode: "generic" };
  }

  /**
   * Attaches a tc program as a direct-action filter of the clsact qdisc, for kernels before 6.6. Makes the qdisc where
   * it is missing, and then returns true; replaces the filter of the same priority and handle. It stays until
   * detachClsact().
   */
  attachClsact(options: ClsactOptions): boolean {
    const { ifindex, direction, priority, handle } = options;
    return this.handle.attachClsact(ifindex, directions[direction], priority, handle);
  }

  /** Attaches to a cgroup (v2) by a link. The type is libbpf's name, with or without "cgroup_": "inet4_connect". */
  attachCgroup(options: { path: string; type: string }): BpfLink {
    return BpfLink.fromHandle(this.handle.attachCgroup(options.path, options.type));
  }

  /** Pins the program at a path on a bpffs; EEXIST when something is there. */
  pin(path: string): void {
    this.handle.pin(path);
  }

  /** Gives the file descriptor back; twice is fine, any other use after it is EBADF. */
  close(): void {
    this.handle.close();
  }
}

/** Ids of the programs that are attached by TCX, in the order that they run in. EINVAL before Linux 6.6; ENODEV. */
export function tcxPrograms(options: { ifindex: number; direction: Direction }): number[] {
  return addon().tcxPrograms(options.ifindex, directions[options.direction]);
}

/**
 * Removes the filter that attachClsact made; false when there is none (or no such device). The qdisc stays: others
 * may use it.
 */
export function detachClsact(options: ClsactOptions): boolean {
  const { ifindex, direction, priority, handle } = options;
  return addon().detachClsact(ifindex, directions[direction], priority, handle);
}

/** The filters of a device's clsact qdisc in one direction; none where there is no qdisc, or no such device. */
export function clsactFilters(options: { ifindex: number; direction: Direction }): ClsactFilter[] {
  return addon().clsactFilters(options.ifindex, directions[options.direction]);
}

/** Removes a device's clsact qdisc with all filters that it has; false when there is none (or no such device). */
export function removeClsact(ifindex: number): boolean {
  return addon().removeClsact(ifindex);
}
