import { type Flow, type FlowKey, FlowState, flowCodec, flowKeyCodec } from "../generated/index.js";
import type { ConntrackTimeouts } from "../host/state.js";
import type { KernelMap } from "./maps.js";

const IPPROTO_TCP = 6;
const NS_PER_S = 1_000_000_000n;
/** net/netfilter/nf_conntrack_proto_udp.c: from here on a UDP flow is a stream. */
const UDP_STREAM_AGE_S = 2;
/** An entry is left alone for this long after its time, so that conntrack's own entry goes first. */
const GRACE_S = 5;

/** What a flow entry's endpoint and epoch must be for it to hold. */
export interface FlowValidity {
  epoch: number;
  /** Generations by slot. */
  generations: ReadonlyMap<number, number>;
}

/**
 * Whether a flow entry can go: idle for longer than its connection's timeout, or void for good.
 * @param now ns of CLOCK_MONOTONIC, as the entry's own times
 */
export function isOver(
  key: Pick<FlowKey, "proto">,
  flow: Flow,
  now: bigint,
  timeouts: ConntrackTimeouts,
  valid: FlowValidity,
): boolean {
  if (flow.epoch !== valid.epoch || valid.generations.get(flow.slot) !== flow.generation) return true;
  const idle = Number((now - flow.lastSeen) / NS_PER_S);
  return idle > timeoutOf(key, flow, timeouts) + GRACE_S;
}

function timeoutOf(key: Pick<FlowKey, "proto">, flow: Flow, timeouts: ConntrackTimeouts): number {
  if (key.proto !== IPPROTO_TCP) {
    const age = Number((flow.lastSeen - flow.created) / NS_PER_S);
    return flow.state === FlowState.ESTABLISHED && age >= UDP_STREAM_AGE_S
      ? timeouts.udpStream
      : timeouts.udp;
  }
  switch (flow.state) {
    case FlowState.NEW:
      return Math.max(timeouts.tcpSynSent, timeouts.tcpSynRecv);
    case FlowState.ESTABLISHED:
      return timeouts.tcpEstablished;
    case FlowState.CLOSING:
      return timeouts.tcpFinWait;
    default:
      return timeouts.tcpClose;
  }
}

export interface SweepOptions {
  /** Entries read in one tick at most. */
  entriesPerTick: number;
  /** ms of one tick after which it stops between two batches. */
  msPerTick: number;
}

const BATCH = 1024;
const DEFAULTS: SweepOptions = { entriesPerTick: 32_768, msPerTick: 10 };

/**
 * Walks the flow table a piece at a time, deletes what is over and counts the rest. A full table takes several ticks, so
 * that the daemon is never busy for long.
 */
export class Sweep {
  #cursor: Buffer | undefined;
  #counting = 0;
  #entries = 0;
  #countedAt = 0;
  #deleted = 0;

  constructor(
    private readonly flows: KernelMap,
    private readonly timeouts: ConntrackTimeouts,
    private readonly options: SweepOptions = DEFAULTS,
  ) {}

  /** Entries that were left after the last whole walk. */
  get entries(): number {
    return this.#entries;
  }

  /** When the last whole walk ended, ms of the epoch; 0: never. */
  get countedAt(): number {
    return this.#countedAt;
  }

  /** Entries deleted since the start. */
  get deleted(): number {
    return this.#deleted;
  }

  /**
   * Goes on with the walk.
   * @returns true when the walk is at its end, and the next tick begins another
   */
  tick(valid: FlowValidity, now: bigint = process.hrtime.bigint()): boolean {
    const started = performance.now();
    let read = 0;
    do {
      const batch = this.flows.getBatch(this.#cursor, BATCH);
      const over: Buffer[] = [];
      for (let i = 0; i < batch.count; i++) {
        const key = flowKeyCodec.decode(batch.keys, i * flowKeyCodec.size);
        const flow = flowCodec.decode(batch.values, i * flowCodec.size);
        if (isOver(key, flow, now, this.timeouts, valid)) {
          over.push(batch.keys.subarray(i * flowKeyCodec.size, (i + 1) * flowKeyCodec.size));
        }
      }
      if (over.length > 0) this.#deleted += this.flows.deleteBatch(Buffer.concat(over));
      read += batch.count;
      this.#counting += batch.count - over.length;
      this.#cursor = batch.cursor;
    } while (
      this.#cursor !== undefined &&
      read < this.options.entriesPerTick &&
      performance.now() - started < this.options.msPerTick
    );
    if (this.#cursor !== undefined) return false;
    this.#entries = this.#counting;
    this.#countedAt = Date.now();
    this.#counting = 0;
    return true;
  }
}
