/**
 * Whether rules let a kind of packet pass, whatever of it is not known: every rule is taken to match all of these packets, some of
 * them, or none. What drops or changes all or some is in the way. Pure.
 */

/** How many packets of the kind a rule matches; unless that is certain, some. */
export type Match = "all" | "some" | "none";

/** "stop": it drops the packet, changes it, or does what is not understood. */
export type Action =
  | { readonly kind: "accept" | "return" | "nothing" | "stop" }
  | { readonly kind: "jump" | "goto"; readonly chain: string };

export interface Step {
  readonly match: Match;
  readonly action: Action;
  /** The rule, for people. */
  readonly text: string;
}

/** The one of a rule that is matched by several conditions at once. */
export function both(a: Match, b: Match): Match {
  if (a === "none" || b === "none") return "none";
  return a === "all" && b === "all" ? "all" : "some";
}

export function not(match: Match): Match {
  return match === "all" ? "none" : match === "none" ? "all" : "some";
}

/** What a condition "one of these" says of packets that are each one of `of`. */
export function covers(listed: ReadonlySet<string>, of: readonly string[]): Match {
  const count = of.filter((one) => listed.has(one)).length;
  return count === of.length ? "all" : count === 0 ? "none" : "some";
}

/** What becomes of the packets that come to a chain: stopped, all accepted, or some of them go back to where they came from. */
type Outcome = { readonly end: "stopped"; readonly by: string } | { readonly end: "accepted" | "back" };

/**
 * Follows packets through a chain that they come to by themselves.
 * @param steps the rules of a chain, as they match these packets
 * @param policy what becomes of those that no rule has decided about
 * @returns the text of what stops any of them; undefined: all of them pass
 */
export function stoppedBy(
  chain: string,
  steps: (chain: string) => readonly Step[],
  policy: { readonly accepts: boolean; readonly text: string },
): string | undefined {
  const known = new Map<string, Outcome>();
  const follow = (name: string): Outcome => {
    const outcome = known.get(name) ?? followOnce(name);
    known.set(name, outcome);
    return outcome;
  };
  const followOnce = (name: string): Outcome => {
    let goBack = false;
    const end = (accepted: boolean): Outcome => ({ end: accepted && !goBack ? "accepted" : "back" });
    for (const { match, action, text } of steps(name)) {
      if (match === "none" || action.kind === "nothing") continue;
      const certain = match === "all";
      if (action.kind === "stop") return { end: "stopped", by: text };
      if (!("chain" in action)) {
        if (certain) return end(action.kind === "accept");
        goBack ||= action.kind === "return";
        continue;
      }
      const there = follow(action.chain);
      if (there.end === "stopped") return there;
      const accepted = there.end === "accepted";
      if (certain && (accepted || action.kind === "goto")) return end(accepted);
      goBack ||= action.kind === "goto" && !accepted;
    }
    return end(false);
  };
  const outcome = follow(chain);
  if (outcome.end === "stopped") return outcome.by;
  return outcome.end === "accepted" || policy.accepts ? undefined : policy.text;
}
