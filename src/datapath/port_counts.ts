/** What the maps say of published ports' connections. */
import { portCountersCodec } from "../generated/index.js";
import { hostPortKey } from "./encode.js";
import type { Maps } from "./maps.js";
import { summedBatches, sumPlaces } from "./per_cpu.js";
import type { PortCountReading, PortReading } from "./reader.js";

const PLACES = sumPlaces(portCountersCodec);
const remembered = new WeakMap<readonly PortReading[], ReadonlyMap<string, PortReading>>();

/** @param ports those of the last plan: a list that does not change */
export function* portCountSteps(
  map: Maps["port_counters"],
  ports: () => readonly PortReading[],
): Generator<PortCountReading[]> {
  for (const { keys, count, sums } of summedBatches(map)) {
    const byKey = portsByKey(ports());
    const readings: PortCountReading[] = [];
    for (let i = 0; i < count; i++) {
      const port = byKey.get(nameOf(map.key.decode(keys, i * map.key.size)));
      // Published no more.
      if (port === undefined) continue;
      const sum = (place: number) => sums[(i * map.value.size) / 8 + place] ?? 0;
      readings.push({ port, opened: sum(PLACES.opened), refused: sum(PLACES.refused) });
    }
    yield readings;
  }
}

function portsByKey(ports: readonly PortReading[]): ReadonlyMap<string, PortReading> {
  let byKey = remembered.get(ports);
  if (byKey === undefined) {
    byKey = new Map(ports.map((port) => [nameOf(hostPortKey(port)), port]));
    remembered.set(ports, byKey);
  }
  return byKey;
}

function nameOf({ address, port, proto }: { address: string; port: number; proto: number }): string {
  return `${proto} ${port} ${address}`;
}
