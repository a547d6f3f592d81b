/** What the maps say of connections, with the names of the last plan. */
import { sumPerCpu } from "../codec.js";
import {
  type ConnectionCounters,
  Direction,
  HANDSHAKE_BUCKETS,
  HandshakeBound,
  type OpenConnections,
  openConnectionsCodec,
  Transport,
} from "../generated/index.js";
import type { Maps } from "./maps.js";
import type { ConnectionReading, DirectionConnections, HandshakeReading } from "./reader.js";
import type { PlacedEndpoint } from "./slots.js";

type ConnectionMaps = Pick<Maps, "connection_counters" | "open_connections" | "handshakes">;

/** Upper bounds in seconds, without the last bucket's. */
const BOUNDS = Object.values(HandshakeBound)
  .filter((us): us is HandshakeBound => typeof us === "number")
  .map((us) => us / 1e6);
const NONE_OPEN = openConnectionsCodec.decode(Buffer.alloc(openConnectionsCodec.size));

/**
 * @param placed asked in each step: between two of them a slot may have been given to another endpoint
 * @param sweep the number of the sweep that has counted last; 0: there was none
 * @param batch how many entries of a per-CPU map to read in one go, by the size of its values
 */
export function* connectionSteps(
  maps: ConnectionMaps,
  placed: () => PlacedEndpoint[],
  sweep: number,
  batch: (valueSize: number) => number,
): Generator<ConnectionReading[]> {
  const { kernel, key, value } = maps.connection_counters;
  const open = openBySlot(maps, placed(), sweep);
  yield [];
  let cursor: Buffer | undefined;
  do {
    const entries = kernel.getBatch(cursor, batch(value.size));
    const bySlot = new Map(placed().map((p) => [p.slot, p.planned]));
    const valueLength = entries.count === 0 ? 0 : entries.values.length / entries.count;
    const readings: ConnectionReading[] = [];
    for (let i = 0; i < entries.count; i++) {
      const slot = key.decode(entries.keys, i * key.size);
      const planned = bySlot.get(slot);
      if (planned === undefined) continue;
      const { containerId, container, network } = planned;
      const counted = sumPerCpu(value, entries.values, i * valueLength, valueLength);
      const now = sweep === 0 ? undefined : (open.get(slot) ?? NONE_OPEN);
      readings.push({
        containerId,
        container,
        network,
        receive: ofDirection(Direction.RECEIVE, counted, now),
        transmit: ofDirection(Direction.TRANSMIT, counted, now),
        snat: { allocated: counted.snatAllocated, retried: counted.snatRetried, failed: counted.snatFailed },
      });
    }
    yield readings;
    cursor = entries.cursor;
  } while (cursor !== undefined);
}

/** Of networks that have endpoints; both directions of each. */
export function handshakes(maps: ConnectionMaps, placed: readonly PlacedEndpoint[]): HandshakeReading[] {
  const networks = new Map(placed.map(({ endpoint, planned }) => [endpoint.bridgeIfindex, planned.network]));
  const { kernel, key, value } = maps.handshakes;
  return [...kernel.entries(64)].flatMap((entry) => {
    const { bridgeIfindex, direction } = key.decode(entry.key);
    const network = networks.get(bridgeIfindex);
    if (network === undefined) return [];
    const { count, sum } = sumPerCpu(value, Buffer.from(entry.value), 0, entry.value.length);
    return [
      {
        network,
        direction: direction === Direction.RECEIVE ? "receive" : "transmit",
        bounds: BOUNDS,
        counts: count.slice(0, HANDSHAKE_BUCKETS).map(Number),
        sum: Number(sum) / 1e6,
      } as const,
    ];
  });
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

function ofDirection(
  direction: Direction,
  counted: ConnectionCounters,
  now: OpenConnections | undefined,
): DirectionConnections {
  const { opened, established, syn, rst } = counted;
  const open = now?.open[direction];
  return {
    opened: {
      tcp: opened[direction]?.[Transport.TCP] ?? 0n,
      udp: opened[direction]?.[Transport.UDP] ?? 0n,
    },
    established: established[direction] ?? 0n,
    syn: syn[direction] ?? 0n,
    rst: rst[direction] ?? 0n,
    open: open === undefined ? undefined : { tcp: open[Transport.TCP] ?? 0, udp: open[Transport.UDP] ?? 0 },
    halfOpen: now?.halfOpen[direction],
  };
}
