import {
  Direction,
  EndpointFlags,
  EndpointIpFlags,
  endpointCountersCodec,
  TrafficPath,
} from "../generated/index.js";
import { BySlot } from "./by_slot.js";
import { addressesOf } from "./families.js";
import type { Maps } from "./maps.js";
import { setCounter, summedBatches, sumPlaces } from "./per_cpu.js";
import type { EndpointReading, PathCounters } from "./reader.js";
import type { PlacedEndpoint } from "./slots.js";

interface Kept {
  readonly placed: PlacedEndpoint;
  readonly reading: EndpointReading;
}

/** The endpoints' counters. What is read of an endpoint is one object as long as it stays where it is. */
export class EndpointReader {
  readonly #endpoints: BySlot;
  #kept: (Kept | undefined)[] = [];

  constructor(
    private readonly map: Maps["endpoint_counters"],
    placed: () => readonly PlacedEndpoint[],
  ) {
    this.#endpoints = new BySlot(placed);
  }

  *steps(): Generator<EndpointReading[]> {
    const { key, value } = this.map;
    const fields = value.size / 8;
    const given = new Set<string>();
    for (const { keys, count, sums } of summedBatches(this.map, () => this.#endpoints.list().length)) {
      const bySlot = this.#endpoints.list();
      this.#kept.length = Math.min(this.#kept.length, bySlot.length);
      const readings: EndpointReading[] = [];
      for (let i = 0; i < count; i++) {
        const slot = key.decode(keys, i * key.size);
        const placed = bySlot[slot];
        if (placed === undefined || given.has(placed.planned.endpointId)) continue;
        given.add(placed.planned.endpointId);
        const reading = this.#reading(slot, placed);
        setPaths(reading.receive, RECEIVE, sums, i * fields);
        setPaths(reading.transmit, TRANSMIT, sums, i * fields);
        readings.push(reading);
      }
      yield readings;
    }
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

/** Where a reading's counters are among the sums, by enum traffic_path. */
const PLACES = sumPlaces(endpointCountersCodec).path;
const [RECEIVE, TRANSMIT] = [PLACES[Direction.RECEIVE], PLACES[Direction.TRANSMIT]];

function setPaths(counters: PathCounters, places: typeof RECEIVE, sums: Float64Array, from: number): void {
  setCounter(counters.fast, places?.[TrafficPath.FAST], sums, from);
  setCounter(counters.slow, places?.[TrafficPath.SLOW], sums, from);
}

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
