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
  /** What was before is in the state file. */
  #recorded = false;

  constructor(
    private readonly state: StateFile,
    private readonly log: Logger,
    private readonly paths = { expedited: EXPEDITED, normal: NORMAL },
  ) {}

  /** Runs `work` with short grace periods where the kernel has them and lets us: not in an unprivileged container, say. */
  expedited<T>(work: () => T): T {
    const recorded = this.#record();
    const ours = this.#begin();
    try {
      return work();
    } finally {
      if (ours) this.#putBack("0");
      if (recorded) this.#forget();
    }
  }

  /** Runs what calls expedited() time and again: what was before is written to the state file once for all of them. */
  async series<T>(work: () => Promise<T>): Promise<T> {
    const recorded = this.#record();
    try {
      return await work();
    } finally {
      if (recorded) this.#forget();
    }
  }

  /** Puts back what a former run has changed. Whatever somebody else has set since stays. */
  restore(): void {
    const { rcuExpedited } = this.state.read();
    if (rcuExpedited === undefined) return;
    this.#putBack(rcuExpedited);
    this.#forget();
  }

  #putBack(value: string): void {
    try {
      if (read(this.paths.expedited) === "1") writeFileSync(this.paths.expedited, value);
    } catch (error) {
      this.log.warn(
        { path: this.paths.expedited, value, error: errorMessage(error) },
        "could not be put back",
      );
    }
  }

  /** Whether it is this that has written down what was before. */
  #record(): boolean {
    if (this.#unavailable || this.#recorded) return false;
    try {
      const before = read(this.paths.expedited);
      if (before !== "0" || read(this.paths.normal) !== "0") return false;
      this.state.write({ ...this.state.read(), rcuExpedited: before });
      this.#recorded = true;
      return true;
    } catch (error) {
      this.#giveUp(error);
      return false;
    }
  }

  #forget(): void {
    this.#recorded = false;
    const { rcuExpedited, ...others } = this.state.read();
    if (rcuExpedited !== undefined) this.state.write(others);
  }

  /** Whether it was switched on by this. */
  #begin(): boolean {
    if (!this.#recorded) return false;
    try {
      if (read(this.paths.expedited) !== "0" || read(this.paths.normal) !== "0") return false;
      writeFileSync(this.paths.expedited, "1");
      return true;
    } catch (error) {
      this.#giveUp(error);
      return false;
    }
  }

  #giveUp(error: unknown): void {
    this.#unavailable = true;
    const message = "grace periods can't be expedited: attaching takes its time";
    this.log.debug({ error: errorMessage(error) }, message);
  }
}

function read(path: string): string {
  return readFileSync(path, "utf8").trim();
}
