import {
  Direction,
  EndpointFlags,
  EndpointIpFlags,
  endpointCountersCodec,
  TrafficPath,
} from "../generated/index.js";
import { addressesOf } from "./families.js";
import type { Maps } from "./maps.js";
import { summedBatches, sumPlaces } from "./per_cpu.js";
import type { EndpointReading, PathCounters } from "./reader.js";
import type { PlacedEndpoint } from "./slots.js";

interface Kept {
  readonly placed: PlacedEndpoint;
  readonly reading: EndpointReading;
}

/** The endpoints' counters. What is read of an endpoint is one object as long as it stays where it is. */
export class EndpointReader {
  #placed: readonly PlacedEndpoint[] = [];
  #bySlot: (PlacedEndpoint | undefined)[] = [];
  #kept: (Kept | undefined)[] = [];

  constructor(
    private readonly map: Maps["endpoint_counters"],
    private readonly placed: () => readonly PlacedEndpoint[],
  ) {}

  /** Slots are given from the lowest on, so that the used ones lie together at the start of the array. */
  *steps(): Generator<EndpointReading[]> {
    const { key, value } = this.map;
    const fields = value.size / 8;
    const given = new Set<string>();
    for (const { keys, count, sums } of summedBatches(this.map, () => this.#slots().length)) {
      const bySlot = this.#slots();
      const readings: EndpointReading[] = [];
      for (let i = 0; i < count; i++) {
        const slot = key.decode(keys, i * key.size);
        const placed = bySlot[slot];
        if (placed === undefined || given.has(placed.planned.endpointId)) continue;
        given.add(placed.planned.endpointId);
        const reading = this.#reading(slot, placed);
        for (const { direction, path, packets, bytes } of COUNTERS) {
          const counter = reading[direction][path];
          counter.packets = sums[i * fields + packets] as number;
          counter.bytes = sums[i * fields + bytes] as number;
        }
        readings.push(reading);
      }
      yield readings;
    }
  }

  /** Asked in each step: between two of them a slot may have been given to another endpoint. */
  #slots(): readonly (PlacedEndpoint | undefined)[] {
    const placed = this.placed();
    if (this.#placed !== placed) {
      this.#placed = placed;
      this.#bySlot = [];
      for (const one of placed) this.#bySlot[one.slot] = one;
      this.#kept.length = Math.min(this.#kept.length, this.#bySlot.length);
    }
    return this.#bySlot;
  }

  #reading(slot: number, placed: PlacedEndpoint): EndpointReading {
    let kept = this.#kept[slot];
    if (kept?.placed !== placed) {
      kept = { placed, reading: endpointReading(placed) };
      this.#kept[slot] = kept;
    }
    return kept.reading;
  }
}

/** Where a reading's counters are among the sums. */
const COUNTERS = (["receive", "transmit"] as const).flatMap((direction) =>
  (["fast", "slow"] as const).map((path) => {
    const places = sumPlaces(endpointCountersCodec).path;
    const ofDirection = places[direction === "receive" ? Direction.RECEIVE : Direction.TRANSMIT];
    const { packets = 0, bytes = 0 } =
      ofDirection?.[path === "fast" ? TrafficPath.FAST : TrafficPath.SLOW] ?? {};
    return { direction, path, packets, bytes };
  }),
);

function endpointReading({ slot, endpoint, planned }: PlacedEndpoint): EndpointReading {
  return {
    slot,
    generation: endpoint.generation,
    endpointId: planned.endpointId,
    containerId: planned.containerId,
    container: planned.container,
    network: planned.network,
    addresses: addressesOf(endpoint),
    ifindex: endpoint.ifindex,
    device: planned.device,
    bridge: planned.bridge,
    masquerade: ((endpoint.ipv4.flags | endpoint.ipv6.flags) & EndpointIpFlags.MASQUERADE) !== 0,
    bridging: (endpoint.flags & EndpointFlags.BRIDGING) !== 0,
    receive: none(),
    transmit: none(),
  };
}

function none(): PathCounters {
  return { fast: { packets: 0, bytes: 0 }, slow: { packets: 0, bytes: 0 } };
}
