import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import { type Endpoint, endpointCodec, type MapName, mapDefinitions } from "../generated/index.js";
import { type Address, ANY, FAMILIES, type Family, familyOf } from "../ip.js";
import { possibleCpus } from "../native/index.js";
import type { Plan, PlanWarning } from "../plan/types.js";
import {
  decodeRaw,
  FILLED_MAPS,
  type FilledMap,
  isSameRaw,
  type RawEntry,
  type RawState,
  readRaw,
} from "./actual.js";
import { Attaching, attachmentKey, missingOf } from "./attaching.js";
import { makeConnectionCounters, removeConnectionCounters } from "./connection_counters.js";
import { deleteConnectionsOf, deleteStaleUdp, type FreshUdpPort } from "./conntrack.js";
import { type Changes, diff } from "./diff.js";
import { addressesOf, familyMaps } from "./families.js";
import { writeFitting } from "./fitting.js";
import type { Attachment, Attachments } from "./links.js";
import type { Maps } from "./maps.js";
import { forgetStalePairs, isCounted } from "./pairs.js";
import { parentFilter } from "./parent_filter.js";
import { isOnParent, type PlacedEndpoint, SLOTS } from "./slots.js";

const IPPROTO_UDP = 17;
/** So long is a published port's number nobody's before it is another's: what counts for it may still be under way. */
const REST_MS = 1000;
const ZEROED_AT_ONCE = 256;
const SLOW = "stay on the slow path";

export interface ApplyResult {
  /** Map entries written and links attached. */
  added: number;
  /** Map entries deleted and links detached. */
  removed: number;
  /** Every endpoint of the plan that is in the datapath. */
  placed: PlacedEndpoint[];
  changes: Changes;
  /** What is not as it should be though everything was written. */
  warnings: PlanWarning[];
}

/** Writes plans to the kernel's maps and links. Removals come before additions (invariant 4). */
export class Applier {
  readonly #failedWrites = new Map<MapName, number>();
  readonly #fullMaps = new Set<MapName>();
  readonly #attaching: Attaching;
  /** Slots from here on are free: nobody but us gives them, from the lowest on. All are looked at in the first pass. */
  #slotsInUse = SLOTS;

  /** Numbers of published ports that were freed, and when. */
  readonly #resting = new Map<number, number>();

  /** What the last pass found to be as planned. */
  #settled:
    | {
        plan: Plan;
        xdp: ReadonlyMap<number, number> | undefined;
        raw: RawState;
        /** All that is wanted, as it was listed. */
        present: Attachment[];
        result: Omit<ApplyResult, "warnings">;
      }
    | undefined;

  /** @param voidFlows makes every flow entry void: what may still come is found anew */
  constructor(
    private readonly maps: Maps,
    private readonly attachments: Attachments,
    private readonly voidFlows: () => void,
    private readonly log: Logger,
  ) {
    this.#attaching = new Attaching(attachments, log);
  }

  /** Writes that failed because a map was full, since the start. */
  failedWrites(map: MapName): number {
    return this.#failedWrites.get(map) ?? 0;
  }

  /**
   * The programs of these devices are going to be wanted: begins to attach them, between which others run. Without entries in the maps
   * they leave everything to the kernel; where they turn out not to be wanted the next apply() detaches them.
   * @param ifindexes of endpoints' devices
   */
  attachAhead(ifindexes: readonly number[]): void {
    this.#attaching.ahead(ifindexes.flatMap(endpointAttachments));
  }

  /** Nothing is attached from now on. */
  close(): void {
    this.#attaching.close();
  }

  /**
   * Makes the kernel's state that of the plan. A map that is full leaves out what does not fit, counted and logged. The
   * maps are written in one go; attaching lets others run in between.
   * Not to be called again before it is over.
   * @param xdp UplinkXdpFlags by ifindex
   * @throws NativeError for any other failure of the kernel; the next pass starts from what is there then
   */
  async apply(plan: Plan, xdp?: ReadonlyMap<number, number>): Promise<ApplyResult> {
    const ahead = await this.#attaching.settled();
    const raw = readRaw(this.maps, this.#slotsInUse);
    const present = this.attachments.list();
    const settled = this.#settled;
    // Most passes: what is planned was there at the last pass, and is.
    if (
      ahead === 0 &&
      settled?.plan === plan &&
      isDeepStrictEqual(settled.xdp, xdp) &&
      isSameList(settled.present, present) &&
      isSameRaw(settled.raw, raw)
    ) {
      return { ...settled.result, warnings: this.#chainWarnings(plan) };
    }
    this.#settled = undefined;
    const changes = diff(decodeRaw(this.maps, raw), plan, xdp, this.#rested());
    const last = Math.max(-1, ...[...changes.placement.kept, ...changes.placement.placed].map((p) => p.slot));
    this.#slotsInUse = Math.max(this.#slotsInUse, last + 1);
    const wanted = wantedAttachments(changes, plan);
    let removed = this.#remove(changes);
    removed += this.#detach(wanted, present);
    let added = ahead + this.#add(changes, plan);
    deleteStaleUdp(freshUdpPorts(changes, plan), this.log);
    const slotsRead = this.#slotsInUse;
    this.#slotsInUse = last + 1;
    const missing = missingOf(wanted, present);
    added += await this.#attaching.attach(missing);
    const { placed } = changes.placement;
    const result = { added, removed, placed, changes };
    const isSettled = added + removed + missing.length === 0 && changes.nextGeneration === undefined;
    if (isSettled && slotsRead === this.#slotsInUse) this.#settled = { plan, xdp, raw, present, result };
    return { ...result, warnings: this.#chainWarnings(plan) };
  }

  /**
   * Takes endpoints out of the datapath at once, without waiting for the engine to say so: their devices are gone.
   * @returns the endpoints that there were
   */
  forgetDevices(ifindexes: ReadonlySet<number>): { slot: number; endpoint: Endpoint }[] {
    const gone: { slot: number; endpoint: Endpoint }[] = [];
    for (const ifindex of ifindexes) {
      const ref = this.maps.endpoint_devices.get(ifindex);
      const endpoint = ref === undefined ? undefined : this.maps.endpoints.get(ref.slot);
      if (ref === undefined || endpoint === undefined || endpoint.generation !== ref.generation) continue;
      gone.push({ slot: ref.slot, endpoint });
    }
    this.#clear(gone);
    return gone;
  }

  #remove(changes: Changes): number {
    this.#clearSlots(changes.gone);
    let removed = changes.gone.length;
    for (const name of FILLED_MAPS) {
      const keys = changes.maps[name].remove;
      if (keys.length === 0) continue;
      removed += this.maps[name].kernel.deleteBatch(Buffer.concat(keys));
      this.#fullMaps.delete(name);
    }
    this.#forgetConnections(changes.gone);
    for (const number of changes.ports.freed) this.#resting.set(number, performance.now());
    if (changes.ports.orphaned) this.voidFlows();
    return removed;
  }

  /** Numbers that are not to be given yet. */
  #rested(): ReadonlySet<number> {
    const now = performance.now();
    for (const [number, freed] of this.#resting) if (now - freed > REST_MS) this.#resting.delete(number);
    return new Set(this.#resting.keys());
  }

  #clear(gone: { slot: number; endpoint: Endpoint }[]): void {
    this.#clearSlots(gone);
    for (const { endpoint } of gone) {
      this.maps.endpoint_devices.kernel.delete(this.maps.endpoint_devices.key.encode(endpoint.ifindex));
      for (const address of addressesOf(endpoint)) {
        const map = this.maps[familyMaps.endpointAddresses[familyOf(address)]];
        map.kernel.delete(map.key.encode(address));
      }
    }
    this.#forgetConnections(gone);
  }

  #clearSlots(gone: { slot: number; endpoint: Endpoint }[]): void {
    const empty = Buffer.alloc(endpointCodec.size);
    for (const { slot } of gone) this.maps.endpoints.kernel.set(this.maps.endpoints.key.encode(slot), empty);
    removeConnectionCounters(this.maps, gone);
    if (gone.some(({ endpoint }) => isCounted(endpoint))) forgetStalePairs(this.maps);
  }

  #forgetConnections(gone: { endpoint: Endpoint }[]): void {
    if (gone.length === 0) return;
    const addresses = new Set(gone.flatMap(({ endpoint }) => addressesOf(endpoint)));
    deleteConnectionsOf(addresses, this.log);
    this.log.debug({ addresses: [...addresses] }, "endpoints removed, their conntrack entries deleted");
  }

  #add(changes: Changes, plan: Plan): number {
    // Counted on first: whatever happens from here, no generation is given twice.
    if (changes.nextGeneration !== undefined) {
      const control = this.maps.control.get(0) ?? { epoch: 0, policy: 0 };
      this.maps.control.set(0, { ...control, nextGeneration: changes.nextGeneration });
    }
    const fresh = changes.write.filter((p) => p.fresh);
    this.#zeroCounters(fresh.map((p) => p.slot));
    this.#zeroPortCounters(changes.ports.fresh);
    makeConnectionCounters(this.maps, fresh, [...changes.placement.kept, ...changes.placement.placed]);
    for (const { slot, endpoint, fresh: isNew } of changes.write)
      if (!isNew) this.maps.endpoints.set(slot, endpoint);
    // Their flags may be others now.
    if (changes.write.some((p) => !p.fresh)) forgetStalePairs(this.maps);
    let added = changes.write.length;
    for (const name of FILLED_MAPS) added += this.#write(name, changes.maps[name].write);
    // What points to a new one holds with this one write: nothing comes about that knows only half of it, a flow not its published port.
    for (const { slot, endpoint } of fresh) this.maps.endpoints.set(slot, endpoint);
    // It says in which slot an address's endpoint is.
    this.#filter(changes, plan);
    for (const planned of changes.placement.homeless) {
      this.#full("endpoints", 1, `container ${planned.container} on network ${planned.network}`, SLOW);
    }
    if (changes.placement.homeless.length === 0) this.#fullMaps.delete("endpoints");
    const { unnumbered } = changes.ports;
    if (unnumbered > 0)
      this.#full("port_counters", 0, `${unnumbered} published ports`, "are not counted each on its own");
    else this.#fullMaps.delete("port_counters");
    return added;
  }

  #filter({ placement }: Changes, { hostAddresses, parentSubnets }: Plan): void {
    const { parent_filter: map } = this.maps;
    const endpoints = [...placement.kept, ...placement.placed];
    const subnets = parentSubnets.map(({ subnet }) => subnet);
    const filter = map.value.encode(parentFilter(endpoints, hostAddresses, subnets));
    if (map.kernel.get(map.key.encode(0))?.equals(filter) !== true) map.kernel.set(map.key.encode(0), filter);
  }

  #write(name: FilledMap, entries: RawEntry[]): number {
    const written = writeFitting(this.maps[name].kernel, entries);
    const left = entries.length - written;
    if (left > 0) this.#full(name, left, `${left} entries`, SLOW);
    return written;
  }

  /** An uplink's egress program learns from what leaves: one that runs after it may still change or drop that. */
  #chainWarnings(plan: Plan): PlanWarning[] {
    return plan.uplinks.flatMap(({ name, ifindex, l3 }): PlanWarning[] => {
      const after = this.attachments.after({ program: uplinkPrograms(l3).egress, ifindex });
      if (after.length === 0) return [];
      const message = `uplink ${name}: the program ${after.join(", ")} sees packets after fairway's on their way out: what it drops or changes is learned as if it had passed`;
      return [{ code: "uplink_program_after", message, transient: false }];
    });
  }

  /** @param outcome what becomes of it */
  #full(map: MapName, count: number, what: string, outcome: string): void {
    this.#failedWrites.set(map, this.failedWrites(map) + count);
    if (this.#fullMaps.has(map)) return;
    this.#fullMaps.add(map);
    this.log.warn({ map, maxEntries: this.maps[map].maxEntries }, `map is full: ${what} ${outcome}`);
  }

  #zeroCounters(slots: number[]): void {
    if (slots.length === 0) return;
    const { endpoint_counters: counters, reasons } = this.maps;
    for (const slot of slots) {
      const key = counters.key.encode(slot);
      const length = counters.kernel.get(key)?.length;
      if (length !== undefined) counters.kernel.set(key, Buffer.alloc(length));
    }
    const stale: Buffer[] = [];
    const fresh = new Set(slots);
    for (const { key } of reasons.kernel.entries(1024)) {
      if (fresh.has(reasons.key.decode(key).slot)) stale.push(Buffer.from(key));
    }
    if (stale.length > 0) reasons.kernel.deleteBatch(Buffer.concat(stale));
  }

  #zeroPortCounters(numbers: readonly number[]): void {
    const { kernel, key, value } = this.maps.port_counters;
    const each = possibleCpus() * value.size;
    for (let at = 0; at < numbers.length; at += ZEROED_AT_ONCE) {
      const some = numbers.slice(at, at + ZEROED_AT_ONCE);
      kernel.setBatch(
        Buffer.concat(some.map((number) => key.encode(number))),
        Buffer.alloc(some.length * each),
      );
    }
  }

  #detach(wanted: Attachment[], present: Attachment[]): number {
    const keep = new Set(wanted.map(attachmentKey));
    const surplus = present.filter((a) => !keep.has(attachmentKey(a)));
    if (surplus.length === 0) return 0;
    this.attachments.together(() => {
      for (const attachment of surplus) this.attachments.detach(attachment);
    });
    return surplus.length;
  }
}

/** Attachments are listed as the same objects as long as they are there. */
function isSameList(a: readonly Attachment[], b: readonly Attachment[]): boolean {
  return a.length === b.length && a.every((attachment, at) => attachment === b[at]);
}

function wantedAttachments(changes: Changes, plan: Plan): Attachment[] {
  const endpoints = [...changes.placement.kept, ...changes.placement.placed].map(({ endpoint }) => endpoint);
  const devices = endpoints.flatMap((e) => (isOnParent(e) ? [] : e.ifindex));
  const parents = new Set(endpoints.flatMap((e) => (isOnParent(e) ? e.bridgeIfindex : [])));
  return [
    ...plan.uplinks.flatMap(({ ifindex, l3 }): Attachment[] => {
      const { ingress, egress } = uplinkPrograms(l3);
      return [
        { program: ingress, ifindex },
        { program: egress, ifindex },
      ];
    }),
    ...devices.flatMap(endpointAttachments),
    // After an uplink's at the same device: what comes in for a published port is rewritten by the time that it is looked at.
    ...[...parents].flatMap((ifindex): Attachment[] => [
      { program: "parent_ingress", ifindex },
      { program: "parent_egress", ifindex },
    ]),
  ];
}

function endpointAttachments(ifindex: number): Attachment[] {
  return [
    { program: "endpoint_ingress", ifindex },
    { program: "endpoint_egress", ifindex },
  ];
}

/** Those for devices whose packets begin with the IP header are the same without the Ethernet header. */
function uplinkPrograms(l3: boolean) {
  return l3
    ? ({ ingress: "uplink_ingress_l3", egress: "uplink_egress_l3" } as const)
    : ({ ingress: "uplink_ingress", egress: "uplink_egress" } as const);
}

/** The UDP ports that this pass publishes, with the addresses that they answer on. */
function freshUdpPorts(changes: Changes, plan: Plan): FreshUdpPort[] {
  return FAMILIES.flatMap((family) => freshUdpPortsOf(family, changes, plan));
}

function freshUdpPortsOf(family: Family, changes: Changes, plan: Plan): FreshUdpPort[] {
  const name = familyMaps.ports[family];
  const { key: keyCodec, value: valueCodec } = mapDefinitions[name];
  const any: ReadonlySet<Address> = new Set(plan.hostAddresses.filter((a) => familyOf(a) === family));
  return changes.maps[name].write.flatMap(({ key, value }) => {
    const { address, port, proto } = keyCodec.decode(key);
    if (proto !== IPPROTO_UDP) return [];
    const addresses = address === ANY[family] ? any : new Set([address]);
    return [{ family, addresses, port, containerAddress: valueCodec.decode(value).address }];
  });
}
