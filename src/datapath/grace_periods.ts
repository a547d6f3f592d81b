import { readFileSync, writeFileSync } from "node:fs";
import type { Logger } from "pino";
import { errorMessage } from "../errors.js";
import type { StateFile } from "./state_file.js";

/** 1: the kernel asks every CPU to pass a quiescent state instead of waiting for it (Documentation/RCU of the kernel). */
const EXPEDITED = "/sys/kernel/rcu_expedited";
/** 1: never that, whatever the other says; what kernels for real-time work start with. */
const NORMAL = "/sys/kernel/rcu_normal";

/**
 * The kernel waits for an RCU grace period in each TCX attachment (tcx_entry_sync() of include/net/tcx.h): 10 to 20 ms, twice for each
 * container, with the lock of all network configuration held. Expedited ones take some 30 µs. While one is asked for, every
 * other CPU that is not idle or in user space gets an interrupt, and whoever else in the kernel waits for one waits less: so it is on only
 * during a synchronous piece of work, and what it was before is in the state file meanwhile, for whoever comes after a kill.
 *
 * Nested, or with another fairway on the same machine doing the same, it is the outermost's to switch off; the other then goes on slowly.
 */
export class GracePeriods {
  #unavailable = false;

  constructor(
    private readonly state: StateFile,
    private readonly log: Logger,
    private readonly paths = { expedited: EXPEDITED, normal: NORMAL },
  ) {}

  /** Runs `work` with short grace periods where the kernel has them and lets us: not in an unprivileged container, say. */
  expedited<T>(work: () => T): T {
    const ours = this.#begin();
    try {
      return work();
    } finally {
      if (ours) this.restore();
    }
  }

  /** Puts back what a former run, or begin(), has changed. Whatever somebody else has set since stays. */
  restore(): void {
    const { rcuExpedited, ...others } = this.state.read();
    if (rcuExpedited === undefined) return;
    try {
      if (read(this.paths.expedited) === "1") writeFileSync(this.paths.expedited, rcuExpedited);
    } catch (error) {
      this.log.warn(
        { path: this.paths.expedited, value: rcuExpedited, error: errorMessage(error) },
        "could not be put back",
      );
    }
    this.state.write(others);
  }

  /** Whether it was switched on by this. */
  #begin(): boolean {
    if (this.#unavailable) return false;
    try {
      const before = read(this.paths.expedited);
      if (before !== "0" || read(this.paths.normal) !== "0") return false;
      this.state.write({ ...this.state.read(), rcuExpedited: before });
      writeFileSync(this.paths.expedited, "1");
      return true;
    } catch (error) {
      this.#unavailable = true;
      this.restore();
      const message = "grace periods can't be expedited: attaching takes its time";
      this.log.debug({ error: errorMessage(error) }, message);
      return false;
    }
  }
}

function read(path: string): string {
  return readFileSync(path, "utf8").trim();
}
