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
import type { Maps } from "./maps.js";
import { summedBatches, sumPlaces } from "./per_cpu.js";
import type { ConnectionReading, DirectionConnections, EndpointNames, HandshakeReading } from "./reader.js";
import type { PlacedEndpoint } from "./slots.js";

type ConnectionMaps = Pick<Maps, "connection_counters" | "open_connections" | "handshakes">;

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

/**
 * @param placed asked in each step: between two of them a slot may have been given to another endpoint
 * @param sweep the number of the sweep that has counted last; 0: there was none
 */
export function* connectionSteps(
  maps: ConnectionMaps,
  placed: () => readonly PlacedEndpoint[],
  sweep: number,
): Generator<ConnectionReading[]> {
  const { key, value } = maps.connection_counters;
  const fields = value.size / 8;
  const open = openBySlot(maps, placed(), sweep);
  let known = placed();
  let bySlot = bySlotOf(known);
  yield [];
  for (const { keys, count, sums } of summedBatches(maps.connection_counters)) {
    if (known !== placed()) {
      known = placed();
      bySlot = bySlotOf(known);
    }
    const readings: ConnectionReading[] = [];
    for (let i = 0; i < count; i++) {
      const slot = key.decode(keys, i * key.size);
      const endpoint = bySlot[slot];
      if (endpoint === undefined) continue;
      const sum = (place: number | undefined) => (place === undefined ? 0 : (sums[i * fields + place] ?? 0));
      const now = sweep === 0 ? undefined : (open.get(slot) ?? NONE_OPEN);
      readings.push({
        endpoint,
        receive: ofDirection(Direction.RECEIVE, sum, now),
        transmit: ofDirection(Direction.TRANSMIT, sum, now),
        snat: {
          allocated: sum(PLACES.snatAllocated),
          retried: sum(PLACES.snatRetried),
          failed: sum(PLACES.snatFailed),
        },
      });
    }
    yield readings;
  }
}

/** Of networks that have endpoints; both directions of each. */
export function handshakes(maps: ConnectionMaps, placed: readonly PlacedEndpoint[]): HandshakeReading[] {
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

function bySlotOf(placed: readonly PlacedEndpoint[]): readonly (EndpointNames | undefined)[] {
  const bySlot: EndpointNames[] = [];
  for (const { slot, planned } of placed) bySlot[slot] = planned;
  return bySlot;
}

/** What that sweep has counted, by slot. Slots are given from the lowest on: the array is read up to the last one. */
function openBySlot(
  { open_connections: { kernel, key, value } }: ConnectionMaps,
  placed: readonly PlacedEndpoint[],
  sweep: number,
): Map<number, OpenConnections> {
  const open = new Map<number, OpenConnections>();
  const slots = placed.reduce((most, { slot }) => Math.max(most, slot + 1), 0);
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
  const [tcp, udp] = [Transport.TCP, Transport.UDP].map((transport) => opened[direction]?.[transport]);
  return {
    opened: { tcp, udp },
    established: established[direction],
    syn: syn[direction],
    rst: rst[direction],
  };
}

function ofDirection(
  direction: Direction,
  sum: (place: number | undefined) => number,
  now: OpenConnections | undefined,
): DirectionConnections {
  const { opened, established, syn, rst } = DIRECTED[direction];
  const open = now?.open[direction];
  return {
    opened: { tcp: sum(opened.tcp), udp: sum(opened.udp) },
    established: sum(established),
    syn: sum(syn),
    rst: sum(rst),
    open: open === undefined ? undefined : { tcp: open[Transport.TCP] ?? 0, udp: open[Transport.UDP] ?? 0 },
    halfOpen: now?.halfOpen[direction],
  };
}
