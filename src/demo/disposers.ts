import { errorMessage } from "../errors.js";

/** What has to be undone, in reverse order. Something that fails or hangs doesn't keep the rest from being undone. */
export class Disposers {
  readonly #stack: { what: string; undo: () => Promise<void> | void }[] = [];

  add(what: string, undo: () => Promise<void> | void): void {
    this.#stack.push({ what, undo });
  }

  /** Undoes everything. @returns one line for each that failed */
  async dispose(limitMs = 30_000): Promise<string[]> {
    const problems: string[] = [];
    for (let entry = this.#stack.pop(); entry !== undefined; entry = this.#stack.pop()) {
      try {
        await withLimit(Promise.resolve(entry.undo()), limitMs);
      } catch (error) {
        problems.push(`${entry.what}: ${errorMessage(error)}`);
      }
    }
    return problems;
  }
}

async function withLimit(work: Promise<void>, limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${limitMs / 1000} s`)), limitMs);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
