import { type FlowSweep, type FlowTableCounters, flowSweepCodec } from "../generated/index.js";
import type { ConntrackTimeouts } from "../host/state.js";
import { FAMILIES, type PerFamily, perFamily } from "../ip.js";
import type { BpfProgram } from "../native/index.js";
import { FAMILY_INDEX } from "./families.js";

const NS_PER_S = 1_000_000_000n;
/** An entry is left alone for this long after its time, so that conntrack's own entry goes first. */
const GRACE_S = 5;
/** A walk of the table holds up the daemon: it may take a hundredth of the time; a tenth where rules have changed. */
const DUTY = 100;
const DUTY_AFTER_RULES = 10;

/** Runs the kernel's sweep. A program of bpf/flow_sweep.bpf.c, or a test's own. */
export type SweepProgram = Pick<BpfProgram, "run">;

/** The times after which an entry is idle: those of conntrack. Pure. */
export function sweepRequest(timeouts: ConntrackTimeouts): FlowSweep {
  const ns = (seconds: number) => BigInt(seconds + GRACE_S) * NS_PER_S;
  return {
    tcpIdleNs: ns(timeouts.tcpEstablished),
    openingIdleNs: ns(Math.max(timeouts.tcpSynSent, timeouts.tcpSynRecv)),
    closingIdleNs: ns(timeouts.tcpFinWait),
    closedIdleNs: ns(timeouts.tcpClose),
    udpIdleNs: ns(timeouts.udp),
    streamIdleNs: ns(timeouts.udpStream),
    learnedBefore: 0n,
    entries: [0n, 0n],
    deleted: [0n, 0n],
    voidEntries: [0n, 0n],
  };
}

/** Keeps the flow tables free of what is over and knows how full they are. The walk itself is the kernel's. */
export class Sweep {
  readonly #request: FlowSweep;
  #next = 0;
  #nextAfterRules = 0;
  /** ns of CLOCK_MONOTONIC; 0: there is nothing to ask for anew. */
  #learnedBefore = 0n;
  #entries: PerFamily<number> = { 4: 0, 6: 0 };
  #countedAt = 0;
  #deleted = 0;
  #inserted = 0;
  #evicted = 0;

  /** @param counters of the flow tables, by FAMILY_INDEX, summed over all CPUs */
  constructor(
    private readonly program: SweepProgram,
    private readonly counters: () => FlowTableCounters[],
    timeouts: ConntrackTimeouts,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#request = sweepRequest(timeouts);
  }

  /** Entries that the last walk left. */
  get entries(): PerFamily<number> {
    return this.#entries;
  }

  /** When the last walk ended, ms of the epoch; 0: never. */
  get countedAt(): number {
    return this.#countedAt;
  }

  /** Entries that walks have deleted since the start. */
  get deleted(): number {
    return this.#deleted;
  }

  /** Entries that were ever inserted, as of the last walk. */
  get inserted(): number {
    return this.#inserted;
  }

  /** Entries that a full table has forgotten, as of the last walk. */
  get evicted(): number {
    return this.#evicted;
  }

  /**
   * Rules have changed: the next walk takes out what was learned until now, and is not long in coming. An engine (20.10) takes the rules
   * that keep networks apart out and puts them back when it makes a network; what is let through meanwhile must not go on afterwards.
   */
  forgetLearned(): void {
    this.#learnedBefore = process.hrtime.bigint();
  }

  /**
   * Walks the tables, unless the last walk took so long that it is too early.
   * @throws NativeError where the kernel refuses
   */
  tick(): void {
    const started = this.now();
    const learnedBefore = this.#learnedBefore;
    if (started < (learnedBefore === 0n ? this.#next : this.#nextAfterRules)) return;
    const before = this.counters();
    const request = flowSweepCodec.encode({ ...this.#request, learnedBefore });
    const result = flowSweepCodec.decode(this.program.run(request).context);
    const after = this.counters();
    this.#learnedBefore = 0n;
    const took = this.now() - started;
    this.#next = started + took * DUTY;
    this.#nextAfterRules = started + took * DUTY_AFTER_RULES;
    const entries = result.entries.map(Number);
    this.#entries = perFamily((family) => entries[FAMILY_INDEX[family]] ?? 0);
    this.#deleted += result.deleted.reduce((sum, n) => sum + Number(n), 0);
    this.#countedAt = Date.now();
    this.#inserted = 0;
    let evicted = 0;
    for (const family of FAMILIES) {
      const inserted = before[FAMILY_INDEX[family]]?.inserted ?? 0n;
      const gone = after[FAMILY_INDEX[family]]?.deleted ?? 0n;
      this.#inserted += Number(inserted);
      // Packets went on between the three: this is what has been evicted at least.
      evicted += Math.max(0, Number(inserted - gone) - this.#entries[family]);
    }
    this.#evicted = Math.max(this.#evicted, evicted);
  }
}
