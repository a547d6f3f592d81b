import type { Logger } from "pino";
import { errorCode, errorMessage } from "../errors.js";
import { type Endpoint, endpointCodec, type MapName, mapDefinitions } from "../generated/index.js";
import { formatIpv4 } from "../ipv4.js";
import type { Plan } from "../plan/types.js";
import { FILLED_MAPS, type FilledMap, type RawEntry, readActual, readEndpoints } from "./actual.js";
import { deleteConnectionsOf, deleteStaleUdp, type FreshUdpPort } from "./conntrack.js";
import { type Changes, diff } from "./diff.js";
import type { Attachment, Attachments } from "./links.js";
import type { Maps } from "./maps.js";
import { type PlacedEndpoint, SLOTS } from "./slots.js";

const IPPROTO_UDP = 17;

export interface ApplyResult {
  /** Map entries written and links attached. */
  added: number;
  /** Map entries deleted and links detached. */
  removed: number;
  /** Every endpoint of the plan that is in the datapath. */
  placed: PlacedEndpoint[];
  changes: Changes;
}

/** Writes plans to the kernel's maps and links. Removals come before additions (invariant 4). */
export class Applier {
  readonly #failedWrites = new Map<MapName, number>();
  readonly #fullMaps = new Set<MapName>();
  /** Slots from here on are free: nobody but us gives them, from the lowest on. All are looked at in the first pass. */
  #slotsInUse = SLOTS;

  constructor(
    private readonly maps: Maps,
    private readonly attachments: Attachments,
    private readonly log: Logger,
  ) {}

  /** Writes that failed because a map was full, since the start. */
  failedWrites(map: MapName): number {
    return this.#failedWrites.get(map) ?? 0;
  }

  /**
   * Makes the kernel's state that of the plan. A map that is full leaves out what does not fit, counted and logged. The
   * maps are written in one go; attaching lets others run in between, since the kernel takes some 10 ms for each.
   * Not to be called again before it is over.
   * @throws NativeError for any other failure of the kernel; the next pass starts from what is there then
   */
  async apply(plan: Plan): Promise<ApplyResult> {
    const changes = diff(readActual(this.maps, this.#slotsInUse), plan);
    const last = Math.max(-1, ...[...changes.placement.kept, ...changes.placement.placed].map((p) => p.slot));
    this.#slotsInUse = Math.max(this.#slotsInUse, last + 1);
    const wanted = wantedAttachments(changes, plan);
    let removed = this.#remove(changes);
    removed += this.#detach(wanted);
    let added = this.#add(changes);
    deleteStaleUdp(freshUdpPorts(changes, plan), this.log);
    this.#slotsInUse = last + 1;
    added += await this.#attach(wanted);
    return { added, removed, placed: changes.placement.placed, changes };
  }

  /** The generation of every slot in use. */
  generations(): Map<number, number> {
    const endpoints = readEndpoints(this.maps.endpoints, this.#slotsInUse);
    return new Map([...endpoints].map(([slot, { generation }]) => [slot, generation]));
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
    return removed;
  }

  #clear(gone: { slot: number; endpoint: Endpoint }[]): void {
    this.#clearSlots(gone);
    for (const { endpoint } of gone) {
      this.maps.endpoint_devices.kernel.delete(this.maps.endpoint_devices.key.encode(endpoint.ifindex));
      this.maps.endpoint_addresses.kernel.delete(
        this.maps.endpoint_addresses.key.encode({ address: endpoint.address }),
      );
    }
    this.#forgetConnections(gone);
  }

  #clearSlots(gone: { slot: number; endpoint: Endpoint }[]): void {
    const empty = Buffer.alloc(endpointCodec.size);
    for (const { slot } of gone) this.maps.endpoints.kernel.set(this.maps.endpoints.key.encode(slot), empty);
  }

  #forgetConnections(gone: { endpoint: Endpoint }[]): void {
    if (gone.length === 0) return;
    const addresses = new Set(gone.map(({ endpoint }) => formatIpv4(endpoint.address)));
    const deleted = deleteConnectionsOf(addresses, this.log);
    this.log.debug(
      { addresses: [...addresses], deleted },
      "endpoints removed, their conntrack entries deleted",
    );
  }

  #add(changes: Changes): number {
    // Counted on first: whatever happens from here, no generation is given twice.
    if (changes.nextGeneration !== undefined) {
      const control = this.maps.control.get(0);
      this.maps.control.set(0, { epoch: control?.epoch ?? 0, nextGeneration: changes.nextGeneration });
    }
    this.#zeroCounters(changes.write.filter((p) => p.fresh).map((p) => p.slot));
    // The slot before what points to it: who reads a reference finds the whole endpoint.
    for (const { slot, endpoint } of changes.write) this.maps.endpoints.set(slot, endpoint);
    let added = changes.write.length;
    for (const name of FILLED_MAPS) added += this.#write(name, changes.maps[name].write);
    for (const planned of changes.placement.homeless) {
      this.#full("endpoints", 1, `container ${planned.container} on network ${planned.network}`);
    }
    if (changes.placement.homeless.length === 0) this.#fullMaps.delete("endpoints");
    return added;
  }

  #write(name: FilledMap, entries: RawEntry[]): number {
    if (entries.length === 0) return 0;
    const { kernel } = this.maps[name];
    try {
      return kernel.setBatch(
        Buffer.concat(entries.map((e) => e.key)),
        Buffer.concat(entries.map((e) => e.value)),
      );
    } catch (error) {
      if (!isFull(error)) throw error;
    }
    // One by one, so that everything that fits gets in.
    let written = 0;
    for (const { key, value } of entries) {
      try {
        kernel.set(key, value);
        written++;
      } catch (error) {
        if (!isFull(error)) throw error;
      }
    }
    this.#full(name, entries.length - written, `${entries.length - written} entries`);
    return written;
  }

  #full(map: MapName, count: number, what: string): void {
    this.#failedWrites.set(map, this.failedWrites(map) + count);
    if (this.#fullMaps.has(map)) return;
    this.#fullMaps.add(map);
    this.log.warn(
      { map, maxEntries: this.maps[map].maxEntries },
      `map is full: ${what} stay on the slow path`,
    );
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

  #detach(wanted: Attachment[]): number {
    const keep = new Set(wanted.map(attachmentKey));
    const surplus = this.attachments.list().filter((a) => !keep.has(attachmentKey(a)));
    for (const attachment of surplus) this.attachments.detach(attachment);
    return surplus.length;
  }

  async #attach(wanted: Attachment[]): Promise<number> {
    const present = new Set(this.attachments.list().map(attachmentKey));
    const missing = wanted.filter((a) => !present.has(attachmentKey(a)));
    let attached = 0;
    let failure: unknown;
    for (const attachment of missing) {
      try {
        // False: the device went away meanwhile; its event brings the next pass.
        if (this.attachments.attach(attachment)) attached++;
      } catch (error) {
        this.log.error({ ...attachment, error: errorMessage(error) }, "program could not be attached");
        failure ??= error;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    // The others are attached all the same; the pass has failed and is tried again.
    if (failure !== undefined) throw failure;
    return attached;
  }
}

function wantedAttachments(changes: Changes, plan: Plan): Attachment[] {
  const devices = [...changes.placement.kept, ...changes.placement.placed].map(
    ({ endpoint }) => endpoint.ifindex,
  );
  return [
    ...plan.uplinks.map(({ ifindex }): Attachment => ({ program: "uplink_ingress", ifindex })),
    ...devices.flatMap((ifindex): Attachment[] => [
      { program: "endpoint_ingress", ifindex },
      { program: "endpoint_egress", ifindex },
    ]),
  ];
}

/** The UDP ports that this pass publishes, with the addresses that they answer on. */
function freshUdpPorts(changes: Changes, plan: Plan): FreshUdpPort[] {
  const { key: keyCodec, value: valueCodec } = mapDefinitions.ports;
  const any = new Set(plan.hostAddresses.map(formatIpv4));
  return changes.maps.ports.write.flatMap(({ key, value }) => {
    const { address, port, proto } = keyCodec.decode(key);
    if (proto !== IPPROTO_UDP) return [];
    const addresses = address === 0 ? any : new Set([formatIpv4(address)]);
    return [{ addresses, port, containerAddress: formatIpv4(valueCodec.decode(value).address) }];
  });
}

function attachmentKey({ program, ifindex }: Attachment): string {
  return `${program}-${ifindex}`;
}

/** A hash table without room says E2BIG; one that can't get memory ENOMEM. */
function isFull(error: unknown): boolean {
  return ["E2BIG", "ENOMEM", "ENOSPC"].includes(errorCode(error) ?? "");
}
