import { UserError } from "../errors.js";

/** Oldest and newest API that we have code for: Docker 20.10 and 29. */
export const API_MIN = "1.41";
export const API_MAX = "1.52";

/**
 * The API version to speak: the server's, but no newer than ours.
 * @param server ApiVersion of the engine's /version
 * @param serverMin MinAPIVersion of it, where it says one
 * @throws UserError where the two have no version in common.
 */
export function negotiate(server: string, serverMin: string | undefined): string {
  if (compareVersions(server, API_MIN) < 0) {
    throw new UserError(`the engine speaks API ${server}, fairway needs ${API_MIN} (Docker 20.10) or newer`, {
      remedy: "upgrade Docker",
    });
  }
  if (serverMin !== undefined && compareVersions(serverMin, API_MAX) > 0) {
    throw new UserError(`the engine speaks API ${serverMin} and newer, fairway up to ${API_MAX}`, {
      remedy: "upgrade fairway",
    });
  }
  return compareVersions(server, API_MAX) < 0 ? server : API_MAX;
}

/** Compares "1.9" and "1.41" as versions: below 0, 0 or above 0. */
export function compareVersions(a: string, b: string): number {
  const [majorA = 0, minorA = 0] = a.split(".").map(Number);
  const [majorB = 0, minorB = 0] = b.split(".").map(Number);
  return majorA - majorB || minorA - minorB;
}
