import {
  counterCodec,
  Direction,
  type ReasonKey,
  ReasonName,
  SLOT_NONE,
  Verdict,
} from "../generated/index.js";
import type { PlannedEndpoint } from "../plan/types.js";
import { BySlot } from "./by_slot.js";
import { KeptEntries } from "./kept_entries.js";
import type { Maps } from "./maps.js";
import { halvesOf, summedBatches, sumPlaces } from "./per_cpu.js";
import type { ReasonReading } from "./reader.js";
import type { PlacedEndpoint } from "./slots.js";
import { xdpDrops } from "./xdp_counters.js";

interface Entry {
  readonly slot: number;
  readonly planned: PlannedEndpoint | undefined;
  /** undefined: of an endpoint that is gone. */
  readonly reading: ReasonReading | undefined;
}

/** Why packets were not fast, by endpoint. What is read of an entry is one object as long as the entry keeps its place. */
export class ReasonReader {
  readonly #entries: KeptEntries<Entry>;
  readonly #endpoints: BySlot;

  constructor(
    private readonly maps: Pick<Maps, "reasons" | "xdp_counters">,
    placed: () => readonly PlacedEndpoint[],
  ) {
    this.#endpoints = new BySlot(placed);
    this.#entries = new KeptEntries(maps.reasons.key.size / 4);
  }

  *steps(): Generator<ReasonReading[]> {
    const { key } = this.maps.reasons;
    this.#entries.begin();
    for (const { keys, count, sums } of summedBatches(this.maps.reasons)) {
      const bySlot = this.#endpoints.list();
      const words = halvesOf(keys);
      const readings: ReasonReading[] = [];
      for (let i = 0; i < count; i++) {
        let entry = this.#entries.next(words, i);
        if (entry === undefined || entry.planned !== bySlot[entry.slot]?.planned)
          entry = this.#entries.keep(entryOf(key.decode(keys, i * key.size), bySlot));
        const { reading } = entry;
        if (reading === undefined) continue;
        reading.packets = sums[i * FIELDS + PACKETS] as number;
        reading.bytes = sums[i * FIELDS + BYTES] as number;
        readings.push(reading);
      }
      yield readings;
    }
    this.#entries.end();
    // What XDP has dropped that was for no endpoint, which it counts apart.
    yield xdpDrops(this.maps).map((drop) => ({ ...NOBODY, direction: "receive", verdict: "drop", ...drop }));
  }
}

const NOBODY = { containerId: undefined, container: undefined, network: undefined };
const FIELDS = counterCodec.size / 8;
const { packets: PACKETS, bytes: BYTES } = sumPlaces(counterCodec);

function entryOf(
  { slot, direction, verdict, reason }: ReasonKey,
  bySlot: readonly (PlacedEndpoint | undefined)[],
): Entry {
  const planned = bySlot[slot]?.planned;
  if (planned === undefined && slot !== SLOT_NONE) return { slot, planned, reading: undefined };
  const { containerId, container, network } = planned ?? NOBODY;
  const reading: ReasonReading = {
    containerId,
    container,
    network,
    direction: direction === Direction.RECEIVE ? "receive" : "transmit",
    verdict: verdict === Verdict.DROP ? "drop" : "slow",
    reason: nameOf(reason),
    packets: 0,
    bytes: 0,
  };
  return { slot, planned, reading };
}

function nameOf(reason: number): string {
  return ReasonName[reason] ?? `unknown_${reason}`;
}
