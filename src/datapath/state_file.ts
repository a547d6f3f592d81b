import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { errorMessage, UserError } from "../errors.js";

const schema = z.object({
  version: z.literal(1),
  /** Sysctls that we changed and what they were before. */
  sysctls: z.record(z.string(), z.string()).default({}),
  /** A bpffs that we mounted for ourselves. */
  mounted: z.string().optional(),
  /** layoutHash of the version that pinned the maps. */
  layout: z.string().optional(),
  /** /sys/kernel/rcu_expedited before we changed it; only while that lasts, some milliseconds. Of the whole machine. */
  rcuExpedited: z.string().regex(/^\d$/).optional(),
  /** The network namespace that the programs are attached in: "net:[4026531840]". */
  namespace: z.string().optional(),
});

/** What cleanup has to put back. */
export type SavedState = z.infer<typeof schema>;

export const NOTHING_SAVED: SavedState = { version: 1, sysctls: {} };

/**
 * `<state-dir>/state.json`. Outlives the daemon, so that a later daemon knows what was before the first one, and cleanup
 * can put it back.
 */
export class StateFile {
  readonly path: string;

  constructor(readonly directory: string) {
    this.path = join(directory, "state.json");
  }

  /** What was saved; the empty state where nothing was or it can't be read. */
  read(): SavedState {
    try {
      return schema.parse(JSON.parse(readFileSync(this.path, "utf8")));
    } catch {
      return NOTHING_SAVED;
    }
  }

  /** Written whole or not at all. @throws UserError where the directory can't be written to. */
  write(state: SavedState): void {
    try {
      mkdirSync(this.directory, { recursive: true, mode: 0o755 });
      const temporary = `${this.path}.new`;
      writeFileSync(temporary, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o644 });
      renameSync(temporary, this.path);
    } catch (error) {
      throw new UserError(`can't write ${this.path} (${errorMessage(error)})`, {
        remedy: "run as root, or name another directory with --state-dir",
        cause: error,
      });
    }
  }

  remove(): void {
    rmSync(this.path, { force: true });
    rmSync(`${this.path}.new`, { force: true });
  }
}
