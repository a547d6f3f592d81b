// What was set up is taken down in reverse order: at the end, after a failure, on a signal.

/** Undoes one thing. */
export type Disposer = () => unknown;

/** A stack of things to undo. */
export class Disposers {
  #stack: { what: string; undo: Disposer }[] = [];
  #running: Promise<void> | undefined;

  /** Remembers how to undo something. Returns a function that undoes it now instead. */
  add(what: string, undo: Disposer): () => Promise<void> {
    const entry = { what, undo };
    this.#stack.push(entry);
    return async () => {
      const at = this.#stack.indexOf(entry);
      if (at < 0) return;
      this.#stack.splice(at, 1);
      await undo();
    };
  }

  /** Undoes everything, last first. One failure doesn't keep the rest; all are reported in one error at the end. */
  dispose(): Promise<void> {
    this.#running ??= this.#disposeAll();
    return this.#running;
  }

  async #disposeAll(): Promise<void> {
    const failures: string[] = [];
    for (let entry = this.#stack.pop(); entry; entry = this.#stack.pop()) {
      try {
        await entry.undo();
      } catch (error) {
        failures.push(`${entry.what}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    if (failures.length > 0) throw new Error(`taking down failed:\n${failures.join("\n")}`);
  }
}
