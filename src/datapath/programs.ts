import { renameSync } from "node:fs";
import type { Logger } from "pino";
import { errorCode, UserError } from "../errors.js";
import {
  layoutHash,
  type MapName,
  mapDefinitions,
  type ProgramName,
  programNames,
} from "../generated/index.js";
import type { ConntrackTimeouts } from "../host/state.js";
import { BpfMap, type BpfProgram, kernelBtfAvailable, netnsCookie } from "../native/index.js";
import { familyMaps } from "./families.js";
import { type Maps, mapNames, typedMaps } from "./maps.js";
import { type Constants, loadObject, setConstants } from "./object.js";
import { type Pins, unpin } from "./pins.js";

/**
 * Maps that hold nothing but caches and statistics: where only one of these has changed its layout, it is made anew and
 * the rest goes on. A flow entry that is missed is had again from conntrack.
 */
const REPLACEABLE: ReadonlySet<MapName> = new Set<MapName>([
  "flows_ipv4",
  "flows_ipv6",
  "device_slots",
  "flow_table_counters",
  "flow_drafts_ipv4",
  "flow_drafts_ipv6",
  "reasons",
  "endpoint_counters",
  "connection_counters",
  "open_connections",
  "openings",
  "tcp_controls",
  "handshakes",
  "limits_ipv4",
  "limits_ipv6",
  "icmp_budgets_ipv4",
  "icmp_budgets_ipv6",
  "icmp_scratch",
  "host_peers",
  "host_streams",
  "host_port_counters",
  "port_counters",
]);
const FLOW_TABLES: ReadonlySet<MapName> = new Set<MapName>(Object.values(familyMaps.flows));

export interface LoadOptions {
  pins: Pins;
  /** Entries of each family's flow table. */
  flowsMax: number;
  /** The layout hash of whoever pinned what is there; undefined: not known. */
  pinnedLayout: string | undefined;
  timeouts: ConntrackTimeouts;
  log: Logger;
  /** Called before pinned maps that don't fit are thrown away: nothing may be attached that still uses them. */
  detachAll: () => void;
}

export interface LoadedPrograms {
  maps: Maps;
  programs: Readonly<Record<ProgramName, BpfProgram>>;
  /** Whether the endpoints' maps were there already and are used on. */
  adopted: boolean;
  /** Whether the programs make connections; else the kernel makes all, and they are learned. */
  makesConnections: boolean;
}

/**
 * Loads the programs on the maps that are pinned (made where they are not) and pins both. What is attached is not
 * touched: links are moved to the new programs by the caller, one by one, so that no packet meets a gap.
 * @throws UserError for what the user can fix: no object, no BTF, no permission; NativeError with the verifier's log else
 */
export function loadPrograms(options: LoadOptions): LoadedPrograms {
  const { pins, log } = options;
  if (!kernelBtfAvailable()) {
    throw new UserError("this kernel has no BTF (/sys/kernel/btf/vmlinux)", {
      remedy: "boot a kernel with CONFIG_DEBUG_INFO_BTF=y, as the distributions' are",
    });
  }
  const reused = reusableMaps(options);
  const { object, makesConnections } = loadObject((opened) => {
    setConstants(opened, hostConstants(options.timeouts));
    for (const name of FLOW_TABLES) opened.setMaxEntries(name, options.flowsMax);
    for (const [name, map] of reused) opened.reuseMap(name, map);
  });
  try {
    const maps = new Map<MapName, BpfMap>();
    for (const name of mapNames) {
      const map = object.map(name);
      maps.set(name, map);
      if (!reused.has(name)) pinOver(pins.map(name), (path) => map.pin(path));
    }
    for (const map of reused.values()) map.close();

    const programs: Partial<Record<ProgramName, BpfProgram>> = {};
    for (const name of programNames) {
      const program = object.program(name);
      programs[name] = program;
      pinOver(pins.program(name), (path) => program.pin(path));
      const { tag, instructions, verifiedInstructions } = program.info;
      log.debug({ program: name, tag, instructions, verifiedInstructions }, "program loaded");
    }
    return {
      maps: typedMaps((name) => maps.get(name) as BpfMap),
      programs: programs as Record<ProgramName, BpfProgram>,
      adopted: reused.has("endpoints"),
      makesConnections,
    };
  } finally {
    object.close();
  }
}

/** The .rodata constants that are set by what the host's conntrack is set to, and whose sockets these are. */
function hostConstants(t: ConntrackTimeouts): Constants {
  return {
    tcp_timeout_syn_sent: t.tcpSynSent,
    tcp_timeout_syn_recv: t.tcpSynRecv,
    tcp_timeout_established: t.tcpEstablished,
    tcp_timeout_fin_wait: t.tcpFinWait,
    tcp_timeout_close: t.tcpClose,
    udp_timeout: t.udp,
    udp_timeout_stream: t.udpStream,
    host_netns_cookie: netnsCookie(),
  };
}

/** The pinned maps that fit this object. Where one that matters doesn't, everything of before is taken off the host. */
function reusableMaps(options: LoadOptions): Map<MapName, BpfMap> {
  const { pins, log } = options;
  const fitting = new Map<MapName, BpfMap>();
  let unfit: MapName | undefined;
  for (const name of mapNames) {
    const map = openPinned(pins.map(name));
    if (map === undefined) continue;
    const difference = layoutDifference(name, map, options.flowsMax);
    if (difference === undefined) {
      fitting.set(name, map);
      continue;
    }
    map.close();
    log.warn({ map: name, difference }, "pinned map does not fit this version");
    if (!REPLACEABLE.has(name)) unfit = name;
  }
  const missing = fitting.size > 0 && mapNames.some((n) => !fitting.has(n) && !REPLACEABLE.has(n));
  // Maps of the same sizes whose bytes mean something else.
  const otherLayout = fitting.size > 0 && options.pinnedLayout !== layoutHash;
  if (unfit === undefined && !missing && !otherLayout) return withoutOldCounters(fitting);
  log.warn(
    { bpffs: pins.root, layout: layoutHash, pinnedLayout: options.pinnedLayout },
    "starting afresh: what was attached before is detached, connections go on in the kernel",
  );
  for (const map of fitting.values()) map.close();
  options.detachAll();
  for (const name of pins.list(pins.maps)) unpin(pins.map(name));
  // Those of names that this version has not as well.
  for (const name of pins.list(pins.programs)) unpin(pins.program(name));
  return new Map();
}

/** What was inserted into a table that is not used on says nothing of the new one. */
function withoutOldCounters(fitting: Map<MapName, BpfMap>): Map<MapName, BpfMap> {
  if ([...FLOW_TABLES].every((name) => fitting.has(name))) return fitting;
  fitting.get("flow_table_counters")?.close();
  fitting.delete("flow_table_counters");
  return fitting;
}

function openPinned(path: string): BpfMap | undefined {
  try {
    return BpfMap.openPinned(path);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** What of a pinned map differs from the object's, or undefined. */
function layoutDifference(name: MapName, map: BpfMap, flowsMax: number): string | undefined {
  const { info } = map;
  const definition = mapDefinitions[name];
  const wanted = {
    type: definition.type,
    keySize: definition.key.size,
    valueSize: definition.value.size,
    maxEntries: FLOW_TABLES.has(name) ? flowsMax : definition.maxEntries,
    flags: definition.flags,
  };
  const parts = (Object.keys(wanted) as (keyof typeof wanted)[])
    .filter((field) => wanted[field] !== info[field])
    .map((field) => `${field} ${info[field]}, not ${wanted[field]}`);
  return parts.length === 0 ? undefined : parts.join(", ");
}

/** Pins at a path, in one step over whatever is pinned there. */
function pinOver(path: string, pin: (path: string) => void): void {
  const fresh = `${path}_new`;
  unpin(fresh);
  pin(fresh);
  renameSync(fresh, path);
}
