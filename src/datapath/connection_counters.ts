/** The counters of connections: made with what they are of, since the programs make none. */
import { Direction } from "../generated/index.js";
import { possibleCpus } from "../native/index.js";
import type { Maps, TypedMap } from "./maps.js";
import type { PlacedEndpoint } from "./slots.js";

type Counters = Pick<Maps, "connection_counters" | "handshakes">;
const DIRECTIONS = [Direction.RECEIVE, Direction.TRANSMIT];

/**
 * Gives endpoints that are new counters that are zero, and their networks those of handshakes, where there are none.
 * @param fresh the new ones
 * @param all all endpoints, the new ones too
 */
export function makeConnectionCounters(
  maps: Counters,
  fresh: readonly Pick<PlacedEndpoint, "slot" | "endpoint">[],
  all: readonly Pick<PlacedEndpoint, "endpoint">[],
): void {
  for (const { slot } of fresh) zero(maps.connection_counters, slot);
  const networks = new Set(fresh.map(({ endpoint }) => endpoint.bridgeIfindex));
  const missing = [...networks].filter((bridgeIfindex) => {
    const key = maps.handshakes.key.encode({ bridgeIfindex, direction: Direction.RECEIVE });
    return maps.handshakes.kernel.get(key) === undefined;
  });
  if (missing.length === 0) return;
  forgetNetworks(maps, new Set(all.map(({ endpoint }) => endpoint.bridgeIfindex)));
  for (const bridgeIfindex of missing)
    for (const direction of DIRECTIONS) zero(maps.handshakes, { bridgeIfindex, direction });
}

/** Takes the counters of endpoints away that are gone. */
export function removeConnectionCounters(maps: Counters, gone: readonly { slot: number }[]): void {
  if (gone.length === 0) return;
  const { kernel, key } = maps.connection_counters;
  kernel.deleteBatch(Buffer.concat(gone.map(({ slot }) => key.encode(slot))));
}

/** Those of networks that have no endpoint any more, when others need the room. */
function forgetNetworks({ handshakes }: Counters, inUse: ReadonlySet<number>): void {
  const stale = [...handshakes.kernel.entries(64)].flatMap(({ key }) =>
    inUse.has(handshakes.key.decode(key).bridgeIfindex) ? [] : [Buffer.from(key)],
  );
  if (stale.length > 0) handshakes.kernel.deleteBatch(Buffer.concat(stale));
}

/** Writes zeros for every CPU. */
function zero<K, V>(map: TypedMap<K, V>, key: K): void {
  const value = Buffer.alloc(possibleCpus() * Math.ceil(map.value.size / 8) * 8);
  map.kernel.set(map.key.encode(key), value);
}
