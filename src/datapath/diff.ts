/** What has to change in the kernel for the maps to be as planned. Pure. */
import { type Endpoint, endpointCodec } from "../generated/index.js";
import type { Plan } from "../plan/types.js";
import { type ActualState, FILLED_MAPS, type FilledMap, type RawEntry } from "./actual.js";
import { encodeDesired } from "./encode.js";
import { type NumberedPorts, numberPorts } from "./port_numbers.js";
import { type PlacedEndpoint, type Placement, placeEndpoints } from "./slots.js";

export interface MapChanges {
  remove: Buffer[];
  write: RawEntry[];
}

export interface Changes {
  placement: Placement;
  ports: NumberedPorts;
  /** Slots to clear first of all. */
  gone: { slot: number; endpoint: Endpoint }[];
  /** Endpoints to write: new ones, and those of which something but their identity changed. */
  write: PlacedEndpoint[];
  maps: Record<FilledMap, MapChanges>;
  /** Whether the generation counter has to be written. */
  nextGeneration: number | undefined;
}

/**
 * Applying the result twice changes nothing: of what it leads to, the difference is empty.
 * @param xdp UplinkXdpFlags by ifindex
 * @param resting numbers that no published port is to get yet
 */
export function diff(
  actual: ActualState,
  plan: Plan,
  xdp?: ReadonlyMap<number, number>,
  resting?: ReadonlySet<number>,
): Changes {
  const placement = placeEndpoints(actual, plan);
  const ports = numberPorts(actual, plan, placement, resting);
  const desired = encodeDesired(plan, placement, actual, ports, xdp);
  const maps: Partial<Record<FilledMap, MapChanges>> = {};
  for (const name of FILLED_MAPS) maps[name] = diffMap(actual.filled[name], desired[name]);
  const write = placement.placed.filter(({ slot, endpoint }) => {
    const before = actual.endpoints.get(slot);
    return before === undefined || !endpointCodec.encode(before).equals(endpointCodec.encode(endpoint));
  });
  return {
    placement,
    ports,
    gone: placement.gone,
    write,
    maps: maps as Record<FilledMap, MapChanges>,
    nextGeneration: placement.nextGeneration === actual.nextGeneration ? undefined : placement.nextGeneration,
  };
}

function diffMap(actual: ReadonlyMap<string, RawEntry>, desired: ReadonlyMap<string, RawEntry>): MapChanges {
  const remove: Buffer[] = [];
  const write: RawEntry[] = [];
  for (const [key, entry] of actual) if (!desired.has(key)) remove.push(entry.key);
  for (const [key, entry] of desired) {
    const before = actual.get(key);
    if (before === undefined || !before.value.equals(entry.value)) write.push(entry);
  }
  return { remove, write };
}
