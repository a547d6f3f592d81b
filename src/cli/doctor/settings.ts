/** The engine's settings against the mode: pure. */
import type { EngineProcess, Settings } from "./facts.js";

/** What mode replace wants of an engine. */
export const REPLACE_SETTINGS = { iptables: false, ip6tables: false, "userland-proxy": false } as const;

type Setting = keyof typeof REPLACE_SETTINGS;

/** What an engine does when nothing tells it; ip6tables is of newer ones. */
const DEFAULTS: Readonly<Record<Setting, boolean>> = {
  iptables: true,
  ip6tables: true,
  "userland-proxy": true,
};

/** How an engine is set; arguments and daemon.json can't both name one thing, or it would not have started. */
export function settingOf({ flags, json }: EngineProcess, setting: Setting): boolean {
  const written = typeof json === "object" ? json[setting] : undefined;
  const value = flags[setting] ?? written ?? DEFAULTS[setting];
  return value !== false && value !== "false";
}

/** Those of its settings that mode replace can't do with. */
export function unfitSettings(engine: EngineProcess): Setting[] {
  return (Object.keys(REPLACE_SETTINGS) as Setting[]).filter((one) => settingOf(engine, one));
}

/** The whole of daemon.json for a mode: what the engine has, and what the mode wants; ready to be written. */
export function daemonJsonFor(mode: "accelerate" | "replace", has: Settings): string {
  const others = Object.entries(has).filter(([name]) => mode === "replace" || !(name in REPLACE_SETTINGS));
  const wanted = mode === "replace" ? REPLACE_SETTINGS : {};
  return JSON.stringify({ ...Object.fromEntries(others), ...wanted }, undefined, 2);
}
