/** What the maps say of published ports: their traffic, and what became of their connections. */
import { Direction, portCountersCodec } from "../generated/index.js";
import type { Maps } from "./maps.js";
import { setCounter, summedBatches, sumPlaces } from "./per_cpu.js";
import type { PortCountReading, PortReading } from "./reader.js";

/** What is counted of published ports. What is read of one is the same object as long as its PortReading is. */
export class PortCountReader {
  /** By number. */
  #kept: (PortCountReading | undefined)[] = [];

  /** @param byNumber the published ports; a list that does not change */
  constructor(
    private readonly map: Maps["port_counters"],
    private readonly byNumber: () => readonly (PortReading | undefined)[],
  ) {}

  /** Numbers are given from the lowest on, so that those in use lie together at the start of the array. */
  *steps(): Generator<PortCountReading[]> {
    const { key, value } = this.map;
    const fields = value.size / 8;
    for (const { keys, count, sums } of summedBatches(this.map, () => this.byNumber().length)) {
      // Asked in each step: between two of them a number may have been given to another port.
      const byNumber = this.byNumber();
      const readings: PortCountReading[] = [];
      for (let i = 0; i < count; i++) {
        const number = key.decode(keys, i * key.size);
        const port = byNumber[number];
        if (port === undefined || isZero(sums, i * fields, fields)) continue;
        const reading = this.#reading(number, port);
        setCounter(reading.receive, RECEIVE, sums, i * fields);
        setCounter(reading.transmit, TRANSMIT, sums, i * fields);
        reading.opened = sums[i * fields + OPENED] as number;
        reading.refused = sums[i * fields + REFUSED] as number;
        readings.push(reading);
      }
      yield readings;
    }
  }

  #reading(number: number, port: PortReading): PortCountReading {
    let kept = this.#kept[number];
    if (kept?.port !== port) {
      const none = { packets: 0, bytes: 0 };
      kept = { port, receive: { ...none }, transmit: { ...none }, opened: 0, refused: 0 };
      this.#kept[number] = kept;
    }
    return kept;
  }
}

/** Where a reading's counters are among the sums. */
const { traffic, opened: OPENED, refused: REFUSED } = sumPlaces(portCountersCodec);
const [RECEIVE, TRANSMIT] = [traffic[Direction.RECEIVE], traffic[Direction.TRANSMIT]];

function isZero(sums: Float64Array, from: number, fields: number): boolean {
  for (let field = 0; field < fields; field++) if (sums[from + field] !== 0) return false;
  return true;
}
