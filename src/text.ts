/** Texts that somebody else wrote, and their order. */

/** What is longer is not meant to be read. */
const LONGEST = 80;

/** In quotes, with nothing in it that a terminal would act on, and not too long. */
export function quoted(text: string): string {
  return JSON.stringify(text.slice(0, LONGEST));
}

/** A name as it may stand in a sentence: as quoted(), without the quotes. */
export function printable(text: string): string {
  return quoted(text).slice(1, -1);
}

/** For sort(): by UTF-16 code units, the same on every machine. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
