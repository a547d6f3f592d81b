/**
 * Something that the user can fix: a wrong option, a missing socket, a kernel that lacks what we need.
 *
 * The message is one line and says what is wrong; `remedy` is one line and says what to do about it. The command line
 * prints both without a stack trace and exits with `exitCode` (1: failure, 2: usage).
 */
export class UserError extends Error {
  override readonly name = "UserError";
  readonly remedy: string | undefined;
  readonly exitCode: 1 | 2;

  constructor(message: string, options: { remedy?: string; exitCode?: 1 | 2; cause?: unknown } = {}) {
    super(
      oneLine(options.remedy === undefined ? message : `${message}: ${options.remedy}`),
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.remedy = options.remedy;
    this.exitCode = options.exitCode ?? 1;
  }
}

/** The message of anything thrown, on one line. */
export function errorMessage(error: unknown): string {
  return oneLine(error instanceof Error ? error.message : String(error));
}

/** The errno name (`ENOENT`, ...) of anything thrown, where it has one. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

function oneLine(text: string): string {
  return text.replace(/\s*[\r\n]+\s*/g, " ").trim();
}
