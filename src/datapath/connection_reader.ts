/** What the maps say of connections, with the names of the last plan. */
import {
  connectionCountersCodec,
  Direction,
  HandshakeBound,
  handshakesCodec,
  type OpenConnections,
  openConnectionsCodec,
  Transport,
} from "../generated/index.js";
import { BySlot } from "./by_slot.js";
import type { Maps } from "./maps.js";
import { summedBatches, sumPlaces } from "./per_cpu.js";
import type { ConnectionReading, DirectionConnections, EndpointNames, HandshakeReading } from "./reader.js";
import type { PlacedEndpoint } from "./slots.js";

/** Upper bounds in seconds, without the last bucket's. */
const BOUNDS = Object.values(HandshakeBound)
  .filter((us): us is HandshakeBound => typeof us === "number")
  .map((us) => us / 1e6);
const NONE_OPEN = openConnectionsCodec.decode(Buffer.alloc(openConnectionsCodec.size));
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
    const open = openBySlot(this.maps, this.#endpoints.list().length, sweep);
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
        const now = sweep === 0 ? undefined : (open.get(slot) ?? NONE_OPEN);
        setDirection(reading.receive, Direction.RECEIVE, sums, i * fields, now);
        setDirection(reading.transmit, Direction.TRANSMIT, sums, i * fields, now);
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
 * What that sweep has counted, by slot.
 * @param slots so many are read: they are given from the lowest on
 */
function openBySlot(
  { open_connections: { kernel, key, value } }: Pick<Maps, "open_connections">,
  slots: number,
  sweep: number,
): Map<number, OpenConnections> {
  const open = new Map<number, OpenConnections>();
  let cursor: Buffer | undefined;
  for (let read = 0; read < slots && sweep !== 0; ) {
    const batch = kernel.getBatch(cursor, Math.min(2048, slots - read));
    for (let i = 0; i < batch.count; i++) {
      // The first field: most endpoints of most hosts have no connection.
      if (batch.values.readUInt32LE(i * value.size) !== sweep) continue;
      open.set(key.decode(batch.keys, i * key.size), value.decode(batch.values, i * value.size));
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
  ].map(Number) as [number, number, number, number, number];
  const [tcp, udp, completed, asking, resetting] = places;
  return { opened: { tcp, udp }, established: completed, syn: asking, rst: resetting };
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
  now: OpenConnections | undefined,
): void {
  const places = DIRECTED[direction];
  counted.opened.tcp = sums[from + places.opened.tcp] as number;
  counted.opened.udp = sums[from + places.opened.udp] as number;
  counted.established = sums[from + places.established] as number;
  counted.syn = sums[from + places.syn] as number;
  counted.rst = sums[from + places.rst] as number;
  const open = now?.open[direction];
  counted.open = open && { tcp: open[Transport.TCP] ?? 0, udp: open[Transport.UDP] ?? 0 };
  counted.halfOpen = now?.halfOpen[direction];
}
