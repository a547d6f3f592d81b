import { distance } from "fastest-levenshtein";

/**
 * The one of `known` that somebody who wrote `name` most likely meant.
 * @returns undefined when none is near: more than a third of its letters (at least two; one of a word of four) would have to change.
 */
export function nearest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const edits = distance(fold(name), fold(candidate));
    if (edits < bestDistance) [best, bestDistance] = [candidate, edits];
  }
  const most = name.length <= 4 ? 1 : Math.max(2, Math.floor(name.length / 3));
  return bestDistance <= most ? best : undefined;
}

/** docker_host, dockerHost and docker-host are one word to whoever writes them. */
function fold(name: string): string {
  return name.toLowerCase().replace(/[-_]/g, "");
}

/** ` (did you mean "X"?)`, or nothing. */
export function suggestion(name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  return near === undefined ? "" : ` (did you mean "${near}"?)`;
}
