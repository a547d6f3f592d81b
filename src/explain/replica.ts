import { decodePerCpu } from "../codec.js";
import { type Maps, mapNames, typedMaps } from "../datapath/maps.js";
import { loadObject, setConstants } from "../datapath/object.js";
import type { PinnedMaps } from "../datapath/pinned_maps.js";
import type { Pins } from "../datapath/pins.js";
import { skbContext } from "../datapath/skb_context.js";
import { UserError } from "../errors.js";
import {
  type ProgramName,
  programNames,
  Reason,
  SLOT_NONE,
  TrafficPath,
  Verdict,
} from "../generated/index.js";
import { type BpfMap, type BpfObject, BpfProgram } from "../native/index.js";
import { ownMapSizes, PLAN_MAPS } from "./replica_maps.js";

/** The programs that packets can be run through: those at sockets can't. */
export const HOOKS = [
  "uplink_xdp",
  "uplink_ingress",
  "endpoint_ingress",
  "endpoint_egress",
  "parent_egress",
  "parent_ingress",
] as const satisfies readonly ProgramName[];
export type HookProgram = (typeof HOOKS)[number];

/** How many entries are read at once. */
const BATCH = 1024;
/** Of struct xdp_md (linux/bpf.h): its size, and where BPF_PROG_TEST_RUN takes what from. */
const XDP = { size: 24, dataEnd: 4, ingressIfindex: 12 } as const;
const XDP_DROP = 1;
/** TCX_NEXT, TC_ACT_SHOT and TC_ACT_REDIRECT (linux/bpf.h, linux/pkt_cls.h). */
const [NEXT, SHOT, REDIRECT] = [0xffffffff, 2, 7];

export interface Counted {
  reason: Reason;
  verdict: Verdict;
  /** Undefined: nobody's. */
  slot: number | undefined;
}

export interface HookRun {
  verdict: "next" | "drop" | "redirect";
  frame: Buffer;
  /** Why it was not fast, as the metrics would have counted it. */
  reasons: Counted[];
  /** The endpoints that have it counted as sent or received on the fast path. */
  fast: { slot: number; direction: number }[];
}

/**
 * The programs as they are attached, loaded once more beside those: on the same plan, with maps of their own for all that they write
 * (flows, counters, limits). What is run through them leaves no trace, but for a conntrack entry of a second (`explains` in
 * bpf/lib/settings.h).
 */
export class Replica {
  readonly #seen = new Map<string, number>();

  private constructor(
    readonly maps: Maps,
    private readonly programs: ReadonlyMap<HookProgram, BpfProgram>,
    private readonly kernelMaps: readonly BpfMap[],
  ) {}

  /**
   * @param pinned what the attached programs have, from the same place
   * @param slots how many of the slots of endpoints there are to count for
   * @throws UserError where another version's programs are pinned
   */
  static load(pins: Pins, pinned: PinnedMaps, slots: number): Replica {
    const { object } = loadObject((candidate) => prepare(candidate, pinned, slots));
    try {
      refuseOtherVersion(object, pins);
      const kernelMaps = new Map(mapNames.map((name) => [name, object.map(name)]));
      const maps = typedMaps((name) => kernelMaps.get(name) as BpfMap);
      const programs = new Map(HOOKS.map((name) => [name, object.program(name)]));
      return new Replica(maps, programs, [...kernelMaps.values()]);
    } finally {
      object.close();
    }
  }

  /** Runs a frame through the program as at a device. arrivedBy: the device that it came in by; 0: none. */
  run(program: HookProgram, ifindex: number, arrivedBy: number, frame: Buffer): HookRun {
    const isXdp = program === "uplink_xdp";
    const context = isXdp ? xdpContext(ifindex, frame) : skbContext(ifindex, arrivedBy);
    const result = this.programs.get(program)?.testRun({ data: frame, context });
    if (result === undefined) throw new Error(`no program ${program}`);
    return {
      verdict: isXdp ? (result.returnValue === XDP_DROP ? "drop" : "next") : verdictOf(result.returnValue),
      frame: result.data,
      reasons: [...this.#reasons(), ...this.#xdpReasons()],
      fast: [...this.#fast()],
    };
  }

  close(): void {
    for (const program of this.programs.values()) program.close();
    for (const map of this.kernelMaps) map.close();
  }

  *#reasons(): Generator<Counted> {
    for (const { key, values } of this.maps.reasons.perCpuEntries()) {
      const slot = key.slot === SLOT_NONE ? undefined : key.slot;
      const counted = { reason: key.reason as Reason, verdict: key.verdict as Verdict, slot };
      if (this.#isNew(`${key.slot} ${key.direction} ${key.verdict} ${key.reason}`, values)) yield counted;
    }
  }

  *#xdpReasons(): Generator<Counted> {
    for (const { values } of this.maps.xdp_counters.perCpuEntries()) {
      const drops = values[0]?.drops ?? [];
      for (const index of drops.keys()) {
        const reason = (Reason.BAD_HEADER + index) as Reason;
        const counters = values.flatMap((cpu) => cpu.drops[index] ?? []);
        if (this.#isNew(`xdp ${reason}`, counters)) yield { reason, verdict: Verdict.DROP, slot: undefined };
      }
    }
  }

  *#fast(): Generator<{ slot: number; direction: number }> {
    const { kernel, key, value } = this.maps.endpoint_counters;
    for (const entry of kernel.entries(BATCH)) {
      const slot = key.decode(entry.key);
      const cpus = decodePerCpu(value, entry.value);
      for (const direction of [0, 1]) {
        const counters = cpus.flatMap((cpu) => cpu.path[direction]?.[TrafficPath.FAST] ?? []);
        if (this.#isNew(`fast ${slot} ${direction}`, counters)) yield { slot, direction };
      }
    }
  }

  /** Whether there is more of it than at the run before. */
  #isNew(name: string, counters: readonly { packets: bigint }[]): boolean {
    const packets = counters.reduce((sum, counter) => sum + Number(counter.packets), 0);
    const before = this.#seen.get(name) ?? 0;
    this.#seen.set(name, packets);
    return packets > before;
  }
}

function prepare(object: BpfObject, { kernel }: PinnedMaps, slots: number): void {
  const loaded = new Set<string>(HOOKS);
  for (const name of programNames) object.setAutoload(name, loaded.has(name));
  setConstants(object, { explains: 1 });
  for (const name of PLAN_MAPS) object.reuseMap(name, kernel.get(name) as BpfMap);
  for (const [name, entries] of ownMapSizes(slots)) object.setMaxEntries(name, entries);
}

/** A program's tag is a digest of its instructions as they were before the kernel verified them. */
function refuseOtherVersion(object: BpfObject, pins: Pins): void {
  for (const name of HOOKS) {
    const [ours, theirs] = [object.program(name), BpfProgram.openPinned(pins.program(name))];
    const same = ours.info.tag === theirs.info.tag;
    ours.close();
    theirs.close();
    if (!same) {
      throw new UserError(
        `the programs at ${pins.root} are of another version of fairway (${name} differs)`,
        {
          remedy: "ask that version, or restart fairway run with this one",
        },
      );
    }
  }
}

function verdictOf(returned: number): HookRun["verdict"] {
  if (returned === NEXT) return "next";
  if (returned === REDIRECT) return "redirect";
  if (returned === SHOT) return "drop";
  throw new Error(`a program returned ${returned}`);
}

function xdpContext(ifindex: number, frame: Buffer): Buffer {
  const context = Buffer.alloc(XDP.size);
  context.writeUInt32LE(frame.length, XDP.dataEnd);
  context.writeUInt32LE(ifindex, XDP.ingressIfindex);
  return context;
}
