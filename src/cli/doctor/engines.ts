import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { errorCode, errorMessage } from "../../errors.js";
import type { EngineProcess, Settings } from "./facts.js";
import { REPLACE_SETTINGS } from "./settings.js";

const DEFAULT_FILE = "/etc/docker/daemon.json";
/** /var/run is a link to it. */
const DEFAULT_HOSTS = ["unix:///var/run/docker.sock", "unix:///run/docker.sock"];

/** The dockerds of our network namespace; those that end while they are looked at are left out. */
export function engineProcesses(): EngineProcess[] {
  const own = readlinkSync("/proc/self/ns/net");
  const found: EngineProcess[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (readFileSync(`/proc/${name}/comm`, "utf8").trim() !== "dockerd") continue;
      if (readlinkSync(`/proc/${name}/ns/net`) !== own) continue;
      const words = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0").slice(1);
      found.push(engineProcess(Number(name), words));
    } catch (error) {
      if (!["ENOENT", "ESRCH", "EACCES"].includes(errorCode(error) ?? "")) throw error;
    }
  }
  return found;
}

function engineProcess(pid: number, words: readonly string[]): EngineProcess {
  const valuesOf = (...names: string[]) =>
    words.flatMap((word, index) => {
      const [flag = "", value] = word.split(/=(.*)/s, 2);
      return names.includes(flag) ? [value ?? words[index + 1] ?? ""] : [];
    });
  const configFile = valuesOf("--config-file").at(-1) ?? DEFAULT_FILE;
  const json = readJson(configFile);
  const written = typeof json === "object" && Array.isArray(json.hosts) ? json.hosts.map(String) : [];
  const flags = Object.keys(REPLACE_SETTINGS).flatMap((name) => {
    const word = words.find((one) => one === `--${name}` || one.startsWith(`--${name}=`));
    return word === undefined ? [] : [[name, !/=(false|0|f)$/i.test(word)] as const];
  });
  return {
    pid,
    configFile,
    hosts: [...valuesOf("-H", "--host"), ...written],
    flags: Object.fromEntries(flags),
    json,
  };
}

function readJson(path: string): Settings | string | undefined {
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, "utf8"));
    return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)
      ? (parsed as Settings)
      : "is not a mapping of keys to values";
  } catch (error) {
    return errorCode(error) === "ENOENT" ? undefined : errorMessage(error);
  }
}

/** The one that listens at an address; where it can't be told and there is only one, that. */
export function engineAt(address: string, all: readonly EngineProcess[]): EngineProcess | undefined {
  const listens = ({ hosts }: EngineProcess) =>
    hosts.includes(address) ||
    (DEFAULT_HOSTS.includes(address) && hosts.every((host) => /^fd:|^$/.test(host)));
  return all.find(listens) ?? (all.length === 1 ? all[0] : undefined);
}
