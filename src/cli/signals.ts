/** The signals that end a command in an orderly way. */
const ENDING = ["SIGTERM", "SIGINT"] as const;

export interface Ending {
  /** Resolves with the first signal's name. */
  readonly signalled: Promise<NodeJS.Signals>;
  /** Gives the signals back their usual effect. */
  release(): void;
}

/** Watches for SIGTERM and SIGINT. The first one asks; a second one ends the process at once. */
export function endingSignal(): Ending {
  let resolve: (signal: NodeJS.Signals) => void;
  const signalled = new Promise<NodeJS.Signals>((fulfil) => {
    resolve = fulfil;
  });
  let asked = false;
  const onSignal = (signal: NodeJS.Signals) => {
    if (asked) process.exit(signal === "SIGINT" ? 130 : 143);
    asked = true;
    resolve(signal);
  };
  for (const signal of ENDING) process.on(signal, onSignal);
  return {
    signalled,
    release() {
      for (const signal of ENDING) process.off(signal, onSignal);
    },
  };
}
