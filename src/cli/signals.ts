/** The signals that end a command in an orderly way. */
const ENDING = ["SIGTERM", "SIGINT"] as const;
/** npm and others pass on a signal that the whole process group has had: what comes within this time is the same wish. */
const SAME_WISH_MS = 500;

export interface Ending {
  /** Resolves with the first signal's name. */
  readonly signalled: Promise<NodeJS.Signals>;
  /** Gives the signals back their usual effect. */
  release(): void;
}

/** Watches for SIGTERM and SIGINT. The first one asks; another one, from half a second later on, ends the process at once. */
export function endingSignal(): Ending {
  let resolve: (signal: NodeJS.Signals) => void;
  const signalled = new Promise<NodeJS.Signals>((fulfil) => {
    resolve = fulfil;
  });
  let askedAt: number | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    if (askedAt === undefined) {
      askedAt = performance.now();
      resolve(signal);
    } else if (performance.now() - askedAt >= SAME_WISH_MS) {
      process.exit(signal === "SIGINT" ? 130 : 143);
    }
  };
  for (const signal of ENDING) process.on(signal, onSignal);
  return {
    signalled,
    release() {
      for (const signal of ENDING) process.off(signal, onSignal);
    },
  };
}
