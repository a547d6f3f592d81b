/**
 * A text without what steers a terminal: C0 and C1 controls, and the marks that turn the direction of writing. Names
 * from the engine are whatever somebody wrote.
 */
export function stripControls(text: string): string {
  return text.replace(/[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu, "\ufffd");
}
