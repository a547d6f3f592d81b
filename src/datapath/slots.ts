/** Which endpoint has which slot. Pure. */
import {
  type Endpoint,
  EndpointFlags,
  EndpointIpFlags,
  EndpointIpParentFlags,
  type EndpointIpv4,
  EndpointParentFlags,
  mapDefinitions,
  PUBLISHED_BITS,
} from "../generated/index.js";
import { type Address, ANY, FAMILIES, type Family } from "../ip.js";
import type { Plan, PlannedEndpoint } from "../plan/types.js";
import type { ActualState } from "./actual.js";
import { addressesOf } from "./families.js";

export const SLOTS: number = mapDefinitions.endpoints.maxEntries;

/** A planned endpoint in its slot. */
export interface PlacedEndpoint {
  slot: number;
  endpoint: Endpoint;
  planned: PlannedEndpoint;
  /** Whether it was not there before: its counters are to be zeroed. */
  fresh: boolean;
}

export interface Placement {
  placed: PlacedEndpoint[];
  /** Endpoints that stay though the plan could not look at them. */
  kept: { slot: number; endpoint: Endpoint }[];
  /** Slots to clear, with whom they belonged to. */
  gone: { slot: number; endpoint: Endpoint }[];
  /** Planned endpoints for which no slot was left. */
  homeless: PlannedEndpoint[];
  nextGeneration: number;
}

/**
 * Gives every planned endpoint a slot and a generation. One that is there already (the same endpoint id, device and
 * addresses) keeps both, so that its flow entries hold on; others get a slot and a generation of their own.
 */
export function placeEndpoints(actual: ActualState, plan: Plan): Placement {
  const byIdentity = new Map<string, number>();
  for (const [slot, e] of actual.endpoints) {
    const key = identity(e.idHash, e.ifindex, e.ipv4.address, e.ipv6.address);
    if (!byIdentity.has(key)) byIdentity.set(key, slot);
  }
  const stays = new Set<number>();
  const placed: PlacedEndpoint[] = [];
  const newcomers: PlannedEndpoint[] = [];
  const published = publishedPorts(plan);
  const encode = (planned: PlannedEndpoint, generation: number) =>
    encodeEndpoint(planned, generation, published.get(planned.endpointId) ?? 0n);
  for (const planned of plan.endpoints) {
    const idHash = endpointIdHash(planned.endpointId);
    const [four, six] = FAMILIES.map((family) => planned.ip[family]?.address ?? ANY[family]);
    const slot = byIdentity.get(identity(idHash, planned.ifindex, four ?? "", six ?? ""));
    const before = slot === undefined ? undefined : actual.endpoints.get(slot);
    if (slot === undefined || before === undefined || stays.has(slot)) {
      newcomers.push(planned);
      continue;
    }
    stays.add(slot);
    placed.push({ slot, planned, fresh: false, endpoint: encode(planned, before.generation) });
  }

  const kept = keptEndpoints(actual, plan, stays);
  const gone = [...actual.endpoints]
    .filter(([slot]) => !stays.has(slot))
    .map(([slot, endpoint]) => ({ slot, endpoint }))
    .sort((a, b) => a.slot - b.slot);
  const free = freeSlots(actual, stays);
  let generation = Math.max(
    actual.nextGeneration,
    ...[...actual.endpoints.values()].map((e) => e.generation + 1),
    1,
  );
  const homeless: PlannedEndpoint[] = [];
  for (const planned of newcomers) {
    const { value: slot, done } = free.next();
    if (done === true) {
      homeless.push(planned);
      continue;
    }
    // 0 means free, so a counter that has gone all the way round leaves it out.
    if (generation > 0xffffffff) generation = 1;
    placed.push({ slot, planned, fresh: true, endpoint: encode(planned, generation++) });
  }
  placed.sort((a, b) => a.slot - b.slot);
  return { placed, kept, gone, homeless, nextGeneration: generation > 0xffffffff ? 1 : generation };
}

/** First 8 bytes of the engine's endpoint id. */
export function endpointIdHash(endpointId: string): bigint {
  return BigInt(`0x${endpointId.slice(0, 16)}`);
}

/** By endpoint id, as struct endpoint has them: a bit for each port, several may have the same. */
function publishedPorts(plan: Plan): ReadonlyMap<string, bigint> {
  const published = new Map<string, bigint>();
  for (const { endpointId, containerPort } of plan.ports)
    published.set(
      endpointId,
      (published.get(endpointId) ?? 0n) | (1n << BigInt(containerPort % PUBLISHED_BITS)),
    );
  return published;
}

/** Those that the plan is unsure of, unless a planned one has their address or device. */
function keptEndpoints(actual: ActualState, plan: Plan, stays: Set<number>): Placement["kept"] {
  const unsure = new Set(plan.unsure.map(endpointIdHash));
  if (unsure.size === 0) return [];
  const addresses = new Set(
    plan.endpoints.flatMap((e) => FAMILIES.flatMap((family) => e.ip[family]?.address ?? [])),
  );
  const devices = new Set(plan.endpoints.flatMap((e) => (e.parent === undefined ? e.ifindex : [])));
  const kept: Placement["kept"] = [];
  for (const [slot, endpoint] of actual.endpoints) {
    if (stays.has(slot) || !unsure.has(endpoint.idHash)) continue;
    const own = addressesOf(endpoint);
    if (own.some((address) => addresses.has(address)) || devices.has(endpoint.ifindex)) continue;
    stays.add(slot);
    for (const address of own) addresses.add(address);
    devices.add(endpoint.ifindex);
    kept.push({ slot, endpoint });
  }
  return kept;
}

/** Free slots in order; those that become free in this pass come last. */
function* freeSlots(actual: ActualState, stays: Set<number>): Generator<number> {
  for (let slot = 0; slot < SLOTS; slot++) if (!actual.endpoints.has(slot)) yield slot;
  for (let slot = 0; slot < SLOTS; slot++) if (actual.endpoints.has(slot) && !stays.has(slot)) yield slot;
}

function encodeEndpoint(planned: PlannedEndpoint, generation: number, published: bigint): Endpoint {
  return {
    generation,
    ifindex: planned.ifindex,
    bridgeIfindex: planned.bridgeIfindex,
    flags: flagsOf(planned),
    network: planned.parent?.network ?? 0,
    mtu: planned.mtu,
    mac: planned.mac,
    bridgeMac: planned.bridgeMac,
    idHash: endpointIdHash(planned.endpointId),
    published,
    ipv4: encodeIp(planned, 4),
    ipv6: encodeIp(planned, 6),
  };
}

function flagsOf({ bridging, matrix, parent }: PlannedEndpoint): number {
  return (
    (bridging ? EndpointFlags.BRIDGING : 0) |
    (matrix ? EndpointFlags.MATRIX : 0) |
    (parent === undefined ? 0 : EndpointFlags.PARENT) |
    (parent?.host ? EndpointFlags.HOST : 0) |
    (parent?.translated ? EndpointFlags.TRANSLATED : 0) |
    (parent?.route ? EndpointParentFlags.ROUTE : 0) |
    (parent?.driver === "macvlan" && parent.mode === "bridge" ? EndpointFlags.SIBLINGS : 0)
  );
}

/** Whether it is on ipvlan or macvlan: the device is its parent's, and others' too. */
export function isOnParent({ flags }: Pick<Endpoint, "flags">): boolean {
  return (flags & EndpointFlags.PARENT) !== 0;
}

/** The part of one family; the codec of each takes what is of it. */
function encodeIp(planned: PlannedEndpoint, family: Family): EndpointIpv4 {
  const ip = planned.ip[family];
  if (ip === undefined) return { address: ANY[family], snatAddress: ANY[family], flags: 0 };
  return {
    address: ip.address,
    snatAddress: ip.snatAddress ?? ANY[family],
    flags:
      (ip.masquerade ? EndpointIpFlags.MASQUERADE : 0) |
      (ip.filtered ? EndpointIpFlags.FILTERED : 0) |
      (ip.announced ? EndpointIpParentFlags.ANNOUNCE : 0),
  };
}

function identity(idHash: bigint, ifindex: number, ipv4: Address, ipv6: Address): string {
  return `${idHash} ${ifindex} ${ipv4} ${ipv6}`;
}
