/** Which published port has which number: the place of its counters. Pure. */
import { mapDefinitions, PORT_NUMBERS } from "../generated/index.js";
import { ANY, FAMILIES, type Family, familyOf } from "../ip.js";
import type { Plan, PlannedPort } from "../plan/types.js";
import type { ActualState, FilledMap, RawEntry } from "./actual.js";
import { familyMaps } from "./families.js";
import type { Placement } from "./slots.js";

export const IPPROTO = { tcp: 6, udp: 17 } as const;

export interface NumberedPorts {
  /** What the maps of published ports should hold, but for ports of endpoints that are kept unseen. */
  entries: { map: FilledMap; entry: RawEntry }[];
  /** Those that have a number, by it. */
  byNumber: ReadonlyMap<number, PlannedPort>;
  /** Numbers that were nobody's before: their counters are to be zeroed. */
  fresh: number[];
  /** Numbers that are nobody's any more. */
  freed: number[];
  /** Ports for which none was left. */
  unnumbered: number;
  /** Whether flow entries that hold on may bear a number that was freed: the port is gone, but its endpoint is not. */
  orphaned: boolean;
}

/**
 * Gives every planned port of a placed endpoint a number. It keeps it as long as it leads to the same place: the maps themselves
 * remember it. A number is given again at the earliest in the pass after the one that has freed it.
 * @param resting numbers that are not to be given yet
 */
export function numberPorts(
  actual: ActualState,
  plan: Plan,
  placement: Placement,
  resting: ReadonlySet<number> = new Set(),
): NumberedPorts {
  const inUse = numbersIn(actual);
  const numbers = freeNumbers((number) => inUse.has(number) || resting.has(number));
  const byId = new Map(placement.placed.map((placed) => [placed.planned.endpointId, placed]));
  const entries: NumberedPorts["entries"] = [];
  const byNumber = new Map<number, PlannedPort>();
  const fresh: number[] = [];
  let unnumbered = 0;
  for (const port of plan.ports) {
    const placed = byId.get(port.endpointId);
    // Its endpoint found no slot: the port is the kernel's.
    if (placed === undefined) continue;
    const family = familyOf(port.address);
    const map = familyMaps.ports[family];
    const { key, value } = mapDefinitions[map];
    const entry = {
      key: key.encode({ address: port.address, port: port.port, proto: IPPROTO[port.proto] }),
      value: value.encode({
        slot: placed.slot,
        generation: placed.endpoint.generation,
        address: port.containerAddress,
        port: port.containerPort,
        number: 0,
      }),
    };
    entries.push({ map, entry });
    const before = actual.filled[map].get(entry.key.toString("hex"))?.value;
    let number = before === undefined ? 0 : numberOf(family, before);
    if (before !== undefined && number !== 0) {
      setNumber(family, entry.value, number);
      if (!before.equals(entry.value)) number = 0;
    }
    if (number === 0) {
      number = numbers.next().value ?? 0;
      setNumber(family, entry.value, number);
      if (number !== 0) fresh.push(number);
    }
    if (number === 0) unnumbered++;
    else byNumber.set(number, port);
  }
  return { entries, byNumber, fresh, unnumbered, ...freedBy(actual, placement, byNumber) };
}

/** Freed are numbers that neither a planned port has nor one of an endpoint that is kept unseen. */
function freedBy(
  actual: ActualState,
  placement: Placement,
  byNumber: ReadonlyMap<number, PlannedPort>,
): Pick<NumberedPorts, "freed" | "orphaned"> {
  const generations = (of: { slot: number; endpoint: { generation: number } }[]) =>
    new Map(of.map(({ slot, endpoint }) => [slot, endpoint.generation]));
  const [kept, placed] = [generations(placement.kept), generations(placement.placed)];
  const freed: number[] = [];
  let orphaned = false;
  for (const family of FAMILIES) {
    for (const { value } of actual.filled[familyMaps.ports[family]].values()) {
      const number = numberOf(family, value);
      if (number === 0 || byNumber.has(number)) continue;
      const { slot, generation } = mapDefinitions[familyMaps.ports[family]].value.decode(value);
      if (kept.get(slot) === generation) continue;
      freed.push(number);
      orphaned ||= placed.get(slot) === generation;
    }
  }
  return { freed, orphaned };
}

function numbersIn(actual: ActualState): ReadonlySet<number> {
  const numbers = new Set<number>();
  for (const family of FAMILIES)
    for (const { value } of actual.filled[familyMaps.ports[family]].values())
      numbers.add(numberOf(family, value));
  return numbers;
}

/** From the lowest on: the counters of those in use lie together at the start of their array. */
function* freeNumbers(isTaken: (number: number) => boolean): Generator<number, undefined> {
  for (let number = 1; number <= PORT_NUMBERS; number++) if (!isTaken(number)) yield number;
  return undefined;
}

/** Where in a published port's entry its number lies. Thousands are looked at in a pass: nothing else of them is decoded. */
const OFFSET = Object.fromEntries(
  FAMILIES.map((family) => {
    const none = { slot: 0, generation: 0, address: ANY[family], port: 0, number: 0xffff };
    return [family, mapDefinitions[familyMaps.ports[family]].value.encode(none).indexOf(0xff)];
  }),
) as Record<Family, number>;

function numberOf(family: Family, value: Buffer): number {
  return value.readUInt16LE(OFFSET[family]);
}

function setNumber(family: Family, value: Buffer, number: number): void {
  value.writeUInt16LE(number, OFFSET[family]);
}
