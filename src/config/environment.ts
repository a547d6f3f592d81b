import { UserError } from "../errors.js";
import type { RawSetting } from "./file.js";
import { nearest } from "./nearest.js";
import { type Key, keys } from "./schema.js";

export type Environment = Readonly<Record<string, string | undefined>>;

const PREFIX = "FAIRWAY_";
/** Names which the configuration file's path and the build have taken. */
const OTHERS = ["FAIRWAY_CONFIG", "FAIRWAY_CACHE", "FAIRWAY_NATIVE"];

/** docker-host: FAIRWAY_DOCKER_HOST */
export function environmentName(key: Key): string {
  return PREFIX + key.toUpperCase().replaceAll("-", "_");
}

/**
 * The settings of the environment; empty variables count as not set.
 *
 * A FAIRWAY_ variable that is nearly one of ours is refused as the slip that it is. Others are let pass: service
 * links (FAIRWAY_PORT=tcp://...) and scripts put such names there too.
 * @throws UserError in one line
 */
export function readEnvironment(environment: Environment): RawSetting[] {
  const names = new Map(keys.map((key) => [environmentName(key), key]));
  const settings: RawSetting[] = [];
  for (const [name, raw] of Object.entries(environment)) {
    if (!name.startsWith(PREFIX) || OTHERS.includes(name) || raw === undefined) continue;
    const key = names.get(name);
    if (key !== undefined) {
      if (raw !== "") settings.push({ key, raw, source: name });
      continue;
    }
    const near = nearest(name.slice(PREFIX.length), keys);
    if (near === undefined) continue;
    throw new UserError(
      `unknown variable ${name} in the environment (did you mean ${environmentName(near as Key)}?)`,
      {
        exitCode: 2,
      },
    );
  }
  return settings;
}
