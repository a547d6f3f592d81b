import type { EngineProcess, Facts, Finding } from "./facts.js";
import { daemonJsonFor, settingOf, unfitSettings } from "./settings.js";

/** The engine, its settings against the mode, and others beside it. Pure. */
export function judgeEngine(facts: Facts): Finding[] {
  const { error, process } = facts.engine;
  // Of an engine that does not run nobody knows what it will be started with.
  const isKnown = error === undefined || process !== undefined;
  return [reached(facts), ...(isKnown ? [settings(facts)] : []), ...others(facts)];
}

function reached({ engine }: Facts): Finding {
  const check = "engine";
  if (engine.error === undefined)
    return { check, result: "ok", what: `Docker ${engine.version ?? "?"} at ${engine.address}` };
  return {
    check,
    result: "failure",
    what: engine.error,
    why: "without the engine nobody knows the containers; what is on the fast path stays as it was",
    remedy: "start it (systemctl start docker), or name another with --docker-host",
  };
}

function settings(facts: Facts): Finding {
  const check = "engine settings";
  const { mode, engine, firewall } = facts;
  const { process } = engine;
  const rules = firewall.engineNat[4] || firewall.engineNat[6];
  if (process !== undefined && typeof process.json === "string")
    return {
      check,
      result: "warning",
      what: `${process.configFile}: ${process.json}`,
      why: "whether the engine's settings fit the mode is not known",
      remedy: "mend the file, then run this again",
    };
  if (mode === "replace") return forReplace(process, rules);
  const off = process === undefined ? engine.error === undefined && !rules : !settingOf(process, "iptables");
  if (!off) return { check, result: "ok", what: "fit mode accelerate" };
  return {
    check,
    result: "warning",
    what: "the engine writes no iptables rules, and the mode is accelerate",
    why: "published ports are docker-proxy's alone and nothing is masqueraded: there is little to accelerate",
    remedy: `run fairway with --mode replace, or have ${told(process, "accelerate")}`,
  };
}

function forReplace(process: EngineProcess | undefined, rules: boolean): Finding {
  const check = "engine settings";
  const unfit = process === undefined ? [] : unfitSettings(process);
  if (process === undefined || unfit.length > 0) {
    const are = unfit.length === 1 ? "is" : "are";
    return {
      check,
      result: process === undefined && !rules ? "warning" : "failure",
      what:
        process === undefined
          ? "what the engine was started with was not found"
          : `${unfit.join(", ")} ${are} on, and the mode is replace`,
      why: "the engine's rules and fairway's would both translate, and docker-proxy would take the host's connections",
      remedy: `have ${told(process, "replace")}`,
    };
  }
  if (!rules) return { check, result: "ok", what: "fit mode replace" };
  return {
    check,
    result: "failure",
    what: "the engine has left rules of its own from before, and the mode is replace",
    why: "they and fairway's would both translate: fairway refuses to start",
    remedy: "restart the engine and remove the rules that it has left (a reboot does)",
  };
}

/** What has to be written where; never by us. */
function told(process: EngineProcess | undefined, mode: Facts["mode"]): string {
  const { configFile = "/etc/docker/daemon.json", json, flags = {} } = process ?? {};
  const inArguments = Object.keys(flags).map((name) => `--${name}`);
  const also = inArguments.length === 0 ? "" : `, take ${inArguments.join(", ")} out of its arguments`;
  const text = daemonJsonFor(mode, typeof json === "object" ? json : {});
  return `this in ${configFile}${also}, and restart the engine:\n${text}`;
}

function others({ engine }: Facts): Finding[] {
  if (engine.others.length === 0) return [];
  const which = engine.others.map(
    ({ pid, hosts }) => `pid ${pid}${hosts.length === 0 ? "" : ` (${hosts.join(", ")})`}`,
  );
  return [
    {
      check: "other engines",
      result: "warning",
      what: `${engine.others.length} more in this network namespace: ${which.join("; ")}`,
      why: "fairway serves one engine; the other's containers are left to the kernel, and its rules count as rules of yours",
      remedy:
        "nothing, if that is meant; or run a second fairway with its own --docker-host, --bpffs, --state-dir and --metrics",
    },
  ];
}
