/** What XDP has passed and dropped at each device: the places that devices' counters have, and what is read there. */
import { Reason, ReasonName, XDP_PLACES, XDP_PROBES, xdpCountersCodec } from "../generated/index.js";
import type { Maps } from "./maps.js";
import { halvesOf, summedBatches, sumPlaces } from "./per_cpu.js";
import type { TrafficCounter } from "./reader.js";

type Counters = Pick<Maps, "xdp_counters">;

/** Packets by verdict. */
export interface XdpVerdicts {
  passed: number;
  dropped: number;
}

/**
 * Gives a device a place for its counters, from zero on. To be called before the program is attached there: a packet that finds no place is
 * counted as nobody's.
 * @param inUse of devices whose places are not to be taken, by ifindex
 * @returns false: there is no place left where the program would look
 */
export function givePlace(
  { xdp_counters: map }: Counters,
  ifindex: number,
  inUse: ReadonlySet<number>,
): boolean {
  const places = probes(ifindex).map((place) => ({ place, bytes: read(map, place) }));
  const owners = places.map(({ place, bytes }) => ({ place, bytes, owner: ownerIn(bytes) }));
  const free = owners.find(({ owner }) => owner === ifindex) ?? owners.find(({ owner }) => !inUse.has(owner));
  if (free === undefined) return false;
  const { place, bytes } = free;
  // By CPU; what it has dropped by reason stays.
  for (let at = 0; at < bytes.length; at += xdpCountersCodec.size) {
    const { drops } = xdpCountersCodec.decode(bytes, at);
    const begun = { ifindex: BigInt(ifindex), passed: 0n, dropped: 0n, drops };
    Buffer.from(xdpCountersCodec.encode(begun)).copy(bytes, at);
  }
  map.kernel.set(map.key.encode(place), bytes);
  return true;
}

/** @returns undefined: the device has no place */
export function xdpVerdicts({ xdp_counters: map }: Counters, ifindex: number): XdpVerdicts | undefined {
  for (const place of probes(ifindex)) {
    const bytes = read(map, place);
    if (ownerIn(bytes) !== ifindex) continue;
    const verdicts = { passed: 0, dropped: 0 };
    for (let at = 0; at < bytes.length; at += xdpCountersCodec.size) {
      const { passed, dropped } = xdpCountersCodec.decode(bytes, at);
      verdicts.passed += Number(passed);
      verdicts.dropped += Number(dropped);
    }
    return verdicts;
  }
  return undefined;
}

/** What was dropped for no endpoint, by reason; only reasons that there were. */
export function xdpDrops({ xdp_counters: map }: Counters): ({ reason: string } & TrafficCounter)[] {
  const totals = new Float64Array(FIELDS);
  for (const { count, sums } of summedBatches(map))
    for (let i = 0; i < count * FIELDS; i++) (totals[i % FIELDS] as number) += sums[i] as number;
  return DROPS.map(({ reason, packets, bytes }) => ({
    reason,
    packets: totals[packets] as number,
    bytes: totals[bytes] as number,
  })).filter(({ packets }) => packets > 0);
}

const FIELDS = xdpCountersCodec.size / 8;
/** Where a reason's counter is among the sums. */
const DROPS = sumPlaces(xdpCountersCodec).drops.map(({ packets, bytes }, index) => ({
  reason: ReasonName[Reason.BAD_HEADER + index] ?? `unknown_${Reason.BAD_HEADER + index}`,
  packets: Number(packets),
  bytes: Number(bytes),
}));

/** Where the program looks for a device's counters, in its order. */
function probes(ifindex: number): number[] {
  return Array.from({ length: XDP_PROBES }, (_, probe) => 1 + (ifindex % XDP_PLACES) + probe);
}

function read(map: Counters["xdp_counters"], place: number): Buffer {
  const bytes = map.kernel.get(map.key.encode(place));
  if (bytes === undefined) throw new Error(`xdp_counters has no place ${place}`);
  return bytes;
}

/** The same for every CPU. */
function ownerIn(bytes: Buffer): number {
  return halvesOf(bytes)[0] as number;
}
