/** What endpoints of one network send each other, where that is counted: read by the metrics, and taken out when one of them is gone. */
import { counterCodec, EndpointFlags, type EndpointRef, pairKeyCodec } from "../generated/index.js";
import type { PlannedEndpoint } from "../plan/types.js";
import { BySlot } from "./by_slot.js";
import { KeptEntries } from "./kept_entries.js";
import type { Maps } from "./maps.js";
import { halvesOf, summedBatches, sumPlaces } from "./per_cpu.js";
import type { PairReading } from "./reader.js";
import type { PlacedEndpoint } from "./slots.js";

const FIELDS = counterCodec.size / 8;
const { packets: PACKETS, bytes: BYTES } = sumPlaces(counterCodec);

/** Which u32 of a key is what. */
const WORDS = pairKeyCodec.decode(Buffer.from(Uint32Array.from([0, 1, 2, 3]).buffer));
const BATCH = 1024;

/** Takes out the pairs one of which is not in its slot any more, or is not to be counted. A full map takes ten milliseconds and more. */
export function forgetStalePairs({ pairs, endpoints }: Pick<Maps, "pairs" | "endpoints">): void {
  /** Generations of those that are counted, by slot; 0: none. */
  const generations: number[] = [];
  const holds = (slot: number, generation: number): boolean => {
    let current = generations[slot];
    if (current === undefined) {
      const endpoint = endpoints.get(slot);
      current = endpoint !== undefined && isCounted(endpoint) ? endpoint.generation : 0;
      generations[slot] = current;
    }
    return current === generation;
  };
  const { size } = pairs.key;
  const stale: Buffer[] = [];
  let cursor: Buffer | undefined;
  do {
    const batch = pairs.kernel.getBatch(cursor, BATCH);
    const words = halvesOf(batch.keys);
    const word = (entry: number, at: number) => words[(entry * size) / 4 + at] as number;
    for (let i = 0; i < batch.count; i++) {
      const [from, to] = [WORDS.from, WORDS.to];
      if (
        holds(word(i, from.slot), word(i, from.generation)) &&
        holds(word(i, to.slot), word(i, to.generation))
      )
        continue;
      stale.push(Buffer.from(batch.keys.subarray(i * size, (i + 1) * size)));
    }
    cursor = batch.cursor;
  } while (cursor !== undefined);
  if (stale.length > 0) pairs.kernel.deleteBatch(Buffer.concat(stale));
}

/** Whether there may be pairs of it. */
export function isCounted({ flags }: { flags: number }): boolean {
  return (flags & EndpointFlags.MATRIX) !== 0;
}

interface Entry {
  readonly from: EndpointRef;
  readonly to: EndpointRef;
  readonly planned: readonly [PlannedEndpoint | undefined, PlannedEndpoint | undefined];
  /** undefined: of an endpoint that is gone. */
  readonly reading: PairReading | undefined;
}

/** Reads the pairs. What is read of a pair is one object as long as it keeps its place. */
export class PairReader {
  readonly #entries: KeptEntries<Entry>;
  readonly #endpoints: BySlot;

  constructor(
    private readonly maps: Pick<Maps, "pairs" | "pairs_uncounted">,
    placed: () => readonly PlacedEndpoint[],
  ) {
    this.#endpoints = new BySlot(placed);
    this.#entries = new KeptEntries(maps.pairs.key.size / 4);
  }

  *steps(): Generator<PairReading[]> {
    const { key } = this.maps.pairs;
    this.#entries.begin();
    for (const { keys, count, sums } of summedBatches(this.maps.pairs)) {
      const words = halvesOf(keys);
      const readings: PairReading[] = [];
      for (let i = 0; i < count; i++) {
        let entry = this.#entries.next(words, i);
        if (entry === undefined || !this.#isCurrent(entry)) {
          const { from, to } = key.decode(keys, i * key.size);
          entry = this.#entries.keep(this.#entry(from, to));
        }
        const { reading } = entry;
        if (reading === undefined) continue;
        reading.packets = sums[i * FIELDS + PACKETS] as number;
        reading.bytes = sums[i * FIELDS + BYTES] as number;
        readings.push(reading);
      }
      yield readings;
    }
    this.#entries.end();
  }

  /** Packets that were in no pair for want of room. */
  uncounted(): number {
    let packets = 0;
    // The last batch may be empty.
    for (const { sums } of summedBatches(this.maps.pairs_uncounted)) packets += sums[PACKETS] ?? 0;
    return packets;
  }

  #find({ slot, generation }: EndpointRef): PlannedEndpoint | undefined {
    const placed = this.#endpoints.list()[slot];
    return placed?.endpoint.generation === generation && isCounted(placed.endpoint)
      ? placed.planned
      : undefined;
  }

  #isCurrent({ from, to, planned }: Entry): boolean {
    return planned[0] === this.#find(from) && planned[1] === this.#find(to);
  }

  #entry(from: EndpointRef, to: EndpointRef): Entry {
    const [sender, receiver] = [this.#find(from), this.#find(to)];
    const reading =
      sender === undefined || receiver === undefined
        ? undefined
        : {
            network: receiver.network,
            from: sender.container,
            to: receiver.container,
            packets: 0,
            bytes: 0,
          };
    return { from, to, planned: [sender, receiver], reading };
  }
}
