import { expect, it } from "vitest";
import { type Match, type Step, stoppedBy } from "../../../src/host/rule_walk.js";

const CHAINS = ["base", "a", "b", "c"];

/** A generator of numbers below a bound, the same for the same seed. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % below;
  };
}

/** Rules of chains that lead only to later ones, as the kernel has it. */
function randomRules(next: (below: number) => number): Map<string, Step[]> {
  return new Map(
    CHAINS.map((name, index) => [
      name,
      Array.from({ length: next(4) }, (_, number): Step => {
        const match = (["all", "some", "none"] as const)[next(3)] ?? "some";
        const text = `${name} ${number}`;
        const chain = CHAINS[index + 1 + next(CHAINS.length - index)];
        const kinds = ["accept", "accept", "return", "nothing", "stop", "jump", "goto", "jump"] as const;
        const kind = kinds[next(kinds.length)] ?? "nothing";
        if (kind === "jump" || kind === "goto")
          return { match, text, action: chain === undefined ? { kind: "nothing" } : { kind, chain } };
        return { match, text, action: { kind } };
      }),
    ]),
  );
}

/** What the kernel does with one packet, for which every rule matches or does not. */
function decide(
  rules: ReadonlyMap<string, readonly Step[]>,
  matches: (match: Match) => boolean,
  chain = "base",
): "accept" | "stop" | undefined {
  for (const { match, action } of rules.get(chain) ?? []) {
    if (!matches(match)) continue;
    if (action.kind === "accept" || action.kind === "stop") return action.kind;
    if (action.kind === "return") return undefined;
    if (!("chain" in action)) continue;
    const decided = decide(rules, matches, action.chain);
    if (decided !== undefined || action.kind === "goto") return decided;
  }
  return undefined;
}

it("lets pass only what passes whatever of the uncertain rules match, in random chains", () => {
  const next = numbers(7);
  let passing = 0;
  for (let round = 0; round < 20_000; round++) {
    const rules = randomRules(next);
    const accepts = next(2) === 0;
    const stopped = stoppedBy("base", (name) => rules.get(name) ?? [], { accepts, text: "policy" });
    if (stopped !== undefined) continue;
    passing++;
    for (let packet = 0; packet < 8; packet++) {
      const matches = (match: Match) => match === "all" || (match === "some" && next(2) === 0);
      const decided = decide(rules, matches) ?? (accepts ? "accept" : "stop");
      expect(decided, JSON.stringify([...rules])).toBe("accept");
    }
  }
  // It is not that it lets nothing pass.
  expect(passing).toBeGreaterThan(2000);
});

it("names what stops a packet, and passes by what is decided before", () => {
  const walk = (accepts: boolean, ...steps: Step[]) =>
    stoppedBy("base", () => steps, { accepts, text: "policy" });
  const step = (match: Match, kind: "accept" | "stop" | "return", text: string = kind): Step => ({
    match,
    action: { kind },
    text,
  });
  expect(walk(true)).toBeUndefined();
  expect(walk(false)).toBe("policy");
  expect(walk(true, step("some", "accept"), step("some", "stop", "this"))).toBe("this");
  expect(walk(false, step("all", "accept"), step("all", "stop"))).toBeUndefined();
  expect(walk(false, step("some", "return"), step("all", "accept"))).toBe("policy");
  expect(walk(true, step("none", "stop"))).toBeUndefined();
});
