/** The labels that are fairway's, and which containers and networks one of them keeps on the engine's own path. Pure. */
import { nearest } from "../config/nearest.js";
import type { EngineNetwork, EngineState } from "../docker/model.js";
import { compareText, printable, quoted } from "../text.js";
import type { LeftToEngine, PlanWarning } from "./types.js";

const PREFIX = "fairway.";
export const ENABLE = "fairway.enable";
export const ALLOW = "fairway.allow";
export const DENY = "fairway.deny";
export const LIMIT = "fairway.limit";
export const PUBLISH = "fairway.publish";
export const HOST = "fairway.host";
export const MASQUERADE = "fairway.masquerade";
export const ROUTE = "fairway.route";
export const ANNOUNCE = "fairway.announce";
export const MATRIX = "fairway.matrix";
const CONTAINER_LABELS = [ENABLE, ALLOW, DENY, LIMIT, PUBLISH];
const NETWORK_LABELS = [ENABLE, HOST, MASQUERADE, ROUTE, ANNOUNCE, MATRIX];
const LABELS = new Set([...CONTAINER_LABELS, ...NETWORK_LABELS]);

/** As Go reads booleans, which is how the engine reads its own options; case and white space around don't count. */
const WORDS = new Map([
  ["true", true],
  ["t", true],
  ["1", true],
  ["false", false],
  ["f", false],
  ["0", false],
]);

export type Labels = Readonly<Record<string, string>>;

/**
 * What `fairway.enable` says. A value that is no boolean counts for nothing: both paths give the same access, so neither is the
 * safer one, and a typing error is not to make anything slow unnoticed.
 * @returns true where there is no such label; the problem in one line
 */
export function readEnable(labels: Labels): { enabled: boolean; problem: string | undefined } {
  const { value, problem } = readBoolean(labels, ENABLE, true);
  return { enabled: value, problem };
}

/**
 * A label that is true or false.
 * @param otherwise where there is none, or one that is neither
 * @returns the problem in one line
 */
export function readBoolean(
  labels: Labels,
  label: string,
  otherwise: boolean,
): { value: boolean; problem: string | undefined } {
  const text = labels[label];
  if (text === undefined) return { value: otherwise, problem: undefined };
  const value = WORDS.get(text.trim().toLowerCase());
  if (value !== undefined) return { value, problem: undefined };
  return {
    value: otherwise,
    problem: `label ${label}: ${quoted(text)} is not true or false: it is ignored`,
  };
}

/**
 * Who is left to the engine: what has `fairway.enable=false` itself, of the networks those of bridge drivers or any other.
 * A container's label holds on all its networks, a network's for all its containers; `true` in one takes nothing from the other.
 * @returns sorted by what and id; problems of these labels, and labels that have no effect where they are, are added to warnings
 */
export function planLeftToEngine(engine: EngineState, warnings: PlanWarning[]): LeftToEngine[] {
  const left: LeftToEngine[] = [];
  const look = (
    what: LeftToEngine["what"],
    { id, name, labels }: Pick<EngineNetwork, "id" | "name" | "labels">,
  ) => {
    const { enabled, problem } = readEnable(labels);
    if (!enabled) left.push({ what, id, name });
    const problems = withoutEffect(what, labels);
    for (const line of problem === undefined ? problems : [problem, ...problems]) {
      const message = `${what} ${printable(name)}: ${line}`;
      warnings.push({ code: "label", message, transient: false });
    }
  };
  for (const container of engine.containers) if (container.running) look("container", container);
  for (const network of engine.networks) look("network", network);
  return left.sort((a, b) => compareText(a.what, b.what) || compareText(a.id, b.id));
}

/** Labels that have no effect where they are: those of the other kind, and those that look like a misspelt one of this. */
function withoutEffect(what: LeftToEngine["what"], labels: Labels): string[] {
  const isNetwork = what === "network";
  const [own, others] = isNetwork ? [NETWORK_LABELS, CONTAINER_LABELS] : [CONTAINER_LABELS, NETWORK_LABELS];
  const misplaced = others
    .filter((label) => !own.includes(label) && labels[label] !== undefined)
    .map(
      (label) =>
        `label ${label} has no effect on a ${what}: it is one of ${isNetwork ? "containers" : "networks"}`,
    );
  return [...misplaced, ...misspelt(labels, own)];
}

/** Labels that look like a misspelt one of these. Others that begin with "fairway." are not ours to judge. */
function misspelt(labels: Labels, known: readonly string[]): string[] {
  const words = known.map((label) => label.slice(PREFIX.length));
  return Object.keys(labels).flatMap((label) => {
    if (!label.startsWith(PREFIX) || LABELS.has(label)) return [];
    const near = nearest(label.slice(PREFIX.length), words);
    return near === undefined ? [] : [`label ${quoted(label)} has no effect: did you mean ${PREFIX}${near}?`];
  });
}
