/** What the maps say of connections, with the names of the last plan. */
import {
  connectionCountersCodec,
  Direction,
  HandshakeBound,
  handshakesCodec,
  openConnectionsCodec,
  Transport,
} from "../generated/index.js";
import { BySlot } from "./by_slot.js";
import type { Maps } from "./maps.js";
import { halvesOf, summedBatches, sumPlaces } from "./per_cpu.js";
import type { ConnectionReading, DirectionConnections, EndpointNames, HandshakeReading } from "./reader.js";
import type { PlacedEndpoint } from "./slots.js";

/** Upper bounds in seconds, without the last bucket's. */
const BOUNDS = Object.values(HandshakeBound)
  .filter((us): us is HandshakeBound => typeof us === "number")
  .map((us) => us / 1e6);
/** Which u32 of an entry of open_connections is what. */
const OPEN_WORDS = openConnectionsCodec.size / 4;
const OPEN = openConnectionsCodec.decode(
  Buffer.from(Uint32Array.from({ length: OPEN_WORDS }, (_, word) => word).buffer),
);
/** Which of an entry's sums is which. */
const PLACES = sumPlaces(connectionCountersCodec);
const DIRECTED = {
  [Direction.RECEIVE]: placesOf(Direction.RECEIVE),
  [Direction.TRANSMIT]: placesOf(Direction.TRANSMIT),
};
const HANDSHAKES = sumPlaces(handshakesCodec);

/** Connections of every endpoint. What is read of one is the same object as long as it keeps its slot. */
export class ConnectionReader {
  readonly #endpoints: BySlot;
  #kept: (ConnectionReading | undefined)[] = [];

  /** @param sweep the number of the sweep that has counted last; 0: there was none */
  constructor(
    private readonly maps: Pick<Maps, "connection_counters" | "open_connections">,
    placed: () => readonly PlacedEndpoint[],
    private readonly sweep: () => number,
  ) {
    this.#endpoints = new BySlot(placed);
  }

  *steps(): Generator<ConnectionReading[]> {
    const { key, value } = this.maps.connection_counters;
    const fields = value.size / 8;
    const sweep = this.sweep();
    const open = sweep === 0 ? undefined : openBySlot(this.maps, this.#endpoints.list().length, sweep);
    yield [];
    for (const { keys, count, sums } of summedBatches(this.maps.connection_counters)) {
      const bySlot = this.#endpoints.list();
      this.#kept.length = Math.min(this.#kept.length, bySlot.length);
      const readings: ConnectionReading[] = [];
      for (let i = 0; i < count; i++) {
        const slot = key.decode(keys, i * key.size);
        const endpoint = bySlot[slot]?.planned;
        if (endpoint === undefined) continue;
        const reading = this.#reading(slot, endpoint);
        setDirection(reading.receive, Direction.RECEIVE, sums, i * fields);
        setDirection(reading.transmit, Direction.TRANSMIT, sums, i * fields);
        if (open !== undefined) {
          setOpen(reading.receive, Direction.RECEIVE, open, slot * OPEN_WORDS);
          setOpen(reading.transmit, Direction.TRANSMIT, open, slot * OPEN_WORDS);
        }
        reading.snat.allocated = sums[i * fields + PLACES.snatAllocated] as number;
        reading.snat.retried = sums[i * fields + PLACES.snatRetried] as number;
        reading.snat.failed = sums[i * fields + PLACES.snatFailed] as number;
        readings.push(reading);
      }
      yield readings;
    }
  }

  #reading(slot: number, endpoint: EndpointNames): ConnectionReading {
    let kept = this.#kept[slot];
    if (kept?.endpoint !== endpoint) {
      const snat = { allocated: 0, retried: 0, failed: 0 };
      kept = { endpoint, receive: noConnections(), transmit: noConnections(), snat };
      this.#kept[slot] = kept;
    }
    return kept;
  }
}

/** Of networks that have endpoints; both directions of each. */
export function handshakes(
  maps: Pick<Maps, "handshakes">,
  placed: readonly PlacedEndpoint[],
): HandshakeReading[] {
  const networks = new Map(placed.map(({ endpoint, planned }) => [endpoint.bridgeIfindex, planned.network]));
  const { key, value } = maps.handshakes;
  const readings: HandshakeReading[] = [];
  for (const { keys, count, sums } of summedBatches(maps.handshakes))
    for (let i = 0; i < count; i++) {
      const { bridgeIfindex, direction } = key.decode(keys, i * key.size);
      const network = networks.get(bridgeIfindex);
      if (network === undefined) continue;
      const sum = (place: number) => sums[(i * value.size) / 8 + place] ?? 0;
      readings.push({
        network,
        direction: direction === Direction.RECEIVE ? "receive" : "transmit",
        bounds: BOUNDS,
        counts: HANDSHAKES.count.map(sum),
        sum: sum(HANDSHAKES.sum) / 1e6,
      });
    }
  return readings;
}

/**
 * What that sweep has counted: OPEN_WORDS for each slot, zeros where it has counted nothing.
 * @param slots so many are read: they are given from the lowest on
 */
function openBySlot(
  { open_connections: { kernel, key } }: Pick<Maps, "open_connections">,
  slots: number,
  sweep: number,
): Uint32Array {
  const open = new Uint32Array(slots * OPEN_WORDS);
  let cursor: Buffer | undefined;
  for (let read = 0; read < slots; ) {
    const batch = kernel.getBatch(cursor, Math.min(2048, slots - read));
    const words = halvesOf(batch.values);
    for (let i = 0; i < batch.count; i++) {
      const from = i * OPEN_WORDS;
      if (words[from + OPEN.sweep] !== sweep) continue;
      const slot = key.decode(batch.keys, i * key.size);
      if (slot < slots) open.set(words.subarray(from, from + OPEN_WORDS), slot * OPEN_WORDS);
    }
    read += batch.count;
    cursor = batch.cursor;
    if (cursor === undefined || batch.count === 0) break;
  }
  return open;
}

function placesOf(direction: Direction) {
  const { opened, established, syn, rst } = PLACES;
  const places = [
    opened[direction]?.[Transport.TCP],
    opened[direction]?.[Transport.UDP],
    established[direction],
    syn[direction],
    rst[direction],
    OPEN.open[direction]?.[Transport.TCP],
    OPEN.open[direction]?.[Transport.UDP],
    OPEN.halfOpen[direction],
  ].map(Number);
  const [tcp = 0, udp = 0, completed = 0, asking = 0, resetting = 0, openTcp = 0, openUdp = 0, half = 0] =
    places;
  return {
    opened: { tcp, udp },
    established: completed,
    syn: asking,
    rst: resetting,
    open: { tcp: openTcp, udp: openUdp },
    halfOpen: half,
  };
}

function noConnections(): DirectionConnections {
  const none = { tcp: 0, udp: 0 };
  return { opened: { ...none }, established: 0, syn: 0, rst: 0, open: undefined, halfOpen: undefined };
}

function setDirection(
  counted: DirectionConnections,
  direction: Direction,
  sums: Float64Array,
  from: number,
): void {
  const places = DIRECTED[direction];
  counted.opened.tcp = sums[from + places.opened.tcp] as number;
  counted.opened.udp = sums[from + places.opened.udp] as number;
  counted.established = sums[from + places.established] as number;
  counted.syn = sums[from + places.syn] as number;
  counted.rst = sums[from + places.rst] as number;
}

function setOpen(counted: DirectionConnections, direction: Direction, open: Uint32Array, from: number): void {
  const places = DIRECTED[direction];
  counted.open ??= { tcp: 0, udp: 0 };
  // Slots that were given since are not there.
  counted.open.tcp = open[from + places.open.tcp] ?? 0;
  counted.open.udp = open[from + places.open.udp] ?? 0;
  counted.halfOpen = open[from + places.halfOpen] ?? 0;
}
