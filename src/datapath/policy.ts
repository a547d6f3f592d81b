import type { Logger } from "pino";
import { type MapName, mapDefinitions } from "../generated/index.js";
import { FAMILIES, type Family, familyOf } from "../ip.js";
import type { PlannedPolicy, SourceList } from "../plan/policy_types.js";
import type { RawEntry } from "./actual.js";
import { writeFitting } from "./fitting.js";
import type { Maps } from "./maps.js";
import {
  type DesiredPolicy,
  desiredPolicy,
  type Entries,
  HOST_LIST,
  listEntries,
  policyMaps,
  SOURCE_BLOCKS,
  sourceBlocks,
} from "./policy_lists.js";

export interface PolicyResult {
  /** Map entries. */
  added: number;
  removed: number;
  /** Whether connections that are established may have to go: they are to be judged anew. */
  stricter: boolean;
}

/**
 * Writes policies to the kernel's maps. What is new is there before what refers to it, and what is old goes last, so that at
 * no moment more is allowed than before and after. The maps may be large and are nobody else's, so they are read once, and then
 * remembered.
 */
export class PolicyApplier {
  #lists: Map<number, SourceList> | undefined;
  #ports: Record<Family, Entries> = { 4: new Map(), 6: new Map() };
  readonly #failedWrites = new Map<MapName, number>();
  readonly #fullMaps = new Set<MapName>();

  constructor(
    private readonly maps: Maps,
    private readonly log: Logger,
  ) {}

  /** Writes that failed because a map was full, since the start. */
  failedWrites(map: MapName): number {
    return this.#failedWrites.get(map) ?? 0;
  }

  /** How many entries a map of lists has; undefined: not one of those, or not known. */
  entries(map: MapName): number | undefined {
    for (const family of FAMILIES) {
      if (map !== policyMaps.sources[family] || this.#lists === undefined) continue;
      let entries = 0;
      for (const { allow, deny } of this.#lists.values())
        for (const { address } of [...allow, ...deny]) if (familyOf(address) === family) entries++;
      return entries;
    }
    return undefined;
  }

  /**
   * Makes the maps as planned.
   * @param hold something could not be looked at: nothing is taken away, since its policy may be among it
   * @throws NativeError where the kernel fails; the next call reads the maps anew
   */
  apply(policy: PlannedPolicy, hold: boolean): PolicyResult {
    const desired = desiredPolicy(policy);
    const known = this.#lists;
    this.#lists = undefined;
    const lists = known === undefined ? this.#allLists(desired) : this.#changedLists(desired, known);
    if (known === undefined)
      for (const family of FAMILIES) this.#ports[family] = this.#read(policyMaps.portPolicies[family]);

    let [added, removed, stricter] = [0, 0, lists.host];
    const blocks = lists.host || known === undefined ? sourceBlocks(desired.lists.get(HOST_LIST)) : undefined;
    // While the list is being written it alone is asked.
    if (lists.host) this.#writeBlocks(new Uint8Array(SOURCE_BLOCKS));
    for (const family of FAMILIES) added += this.#write(policyMaps.sources[family], lists.write[family]);
    const stale: Record<Family, Buffer[]> = { 4: [], 6: [] };
    for (const family of FAMILIES) {
      const { write, remove } = difference(this.#ports[family], desired.ports[family]);
      // A new port has no connections yet; one whose policy is another may.
      stricter ||= write.some(
        ({ key }) => known === undefined || this.#ports[family].has(key.toString("hex")),
      );
      added += this.#write(policyMaps.portPolicies[family], write);
      if (!hold) stale[family] = remove;
    }
    this.#setFlags(desired.flags, hold);
    for (const family of FAMILIES) removed += this.#remove(policyMaps.portPolicies[family], stale[family]);
    if (!hold)
      for (const family of FAMILIES)
        removed += this.#remove(policyMaps.sources[family], lists.remove[family]);

    if (blocks !== undefined && !hold) this.#writeBlocks(blocks);

    for (const family of FAMILIES) {
      this.#ports[family] = hold
        ? new Map([...this.#ports[family], ...desired.ports[family]])
        : desired.ports[family];
    }
    this.#lists = hold ? new Map([...(known ?? []), ...desired.lists]) : desired.lists;
    // What was there before us and has been held is known again by reading it.
    if (hold && known === undefined) this.#lists = undefined;
    return { added, removed, stricter };
  }

  /** Against what the kernel holds, entry by entry. */
  #allLists(desired: DesiredPolicy): ListChanges {
    const changes: ListChanges = { write: { 4: [], 6: [] }, remove: { 4: [], 6: [] }, host: false };
    for (const family of FAMILIES) {
      const name = policyMaps.sources[family];
      const wanted: Entries = new Map();
      for (const [list, content] of desired.lists) {
        for (const entry of listEntries(list, content, family)) wanted.set(entry.key.toString("hex"), entry);
      }
      const { write, remove } = difference(this.#read(name), wanted);
      changes.write[family] = write;
      changes.remove[family] = remove;
      const { key } = mapDefinitions[name];
      changes.host ||= [...write.map((entry) => entry.key), ...remove].some(
        (k) => key.decode(k).list === HOST_LIST,
      );
    }
    return changes;
  }

  /** Against the lists that were written before; a list of one number is one list, but for the host's. */
  #changedLists(desired: DesiredPolicy, known: ReadonlyMap<number, SourceList>): ListChanges {
    const host = desired.lists.get(HOST_LIST);
    // Its number is always the same. It changes with the configuration, which does not happen while we run.
    if (host !== known.get(HOST_LIST) && !isSame(host, known.get(HOST_LIST))) return this.#allLists(desired);
    const changes: ListChanges = { write: { 4: [], 6: [] }, remove: { 4: [], 6: [] }, host: false };
    for (const family of FAMILIES) {
      for (const [list, content] of desired.lists)
        if (!known.has(list)) changes.write[family].push(...listEntries(list, content, family));
      for (const [list, content] of known)
        if (!desired.lists.has(list))
          changes.remove[family].push(...listEntries(list, content, family).map((e) => e.key));
    }
    return changes;
  }

  #read(name: MapName): Entries {
    const entries: Entries = new Map();
    for (const { key, value } of this.maps[name].kernel.entries(4096)) {
      entries.set(key.toString("hex"), { key: Buffer.from(key), value: Buffer.from(value) });
    }
    return entries;
  }

  #writeBlocks(blocks: Uint8Array): void {
    const keys = new Uint32Array(blocks.length);
    for (let block = 0; block < blocks.length; block++) keys[block] = block;
    this.maps.source_blocks.kernel.setBatch(new Uint8Array(keys.buffer), blocks);
  }

  #setFlags(flags: number, hold: boolean): void {
    const control = this.maps.control.get(0) ?? { epoch: 0, nextGeneration: 1, policy: 0 };
    const policy = hold ? control.policy | flags : flags;
    if (control.policy !== policy) this.maps.control.set(0, { ...control, policy });
  }

  #write(name: MapName, entries: RawEntry[]): number {
    const written = writeFitting(this.maps[name].kernel, entries);
    const left = entries.length - written;
    this.#failedWrites.set(name, this.failedWrites(name) + left);
    if (left > 0 && !this.#fullMaps.has(name)) {
      this.#fullMaps.add(name);
      this.log.error(
        { map: name, maxEntries: this.maps[name].maxEntries, left },
        "map is full: entries of access lists are left out; shorten the lists",
      );
    }
    return written;
  }

  #remove(name: MapName, keys: Buffer[]): number {
    if (keys.length === 0) return 0;
    this.#fullMaps.delete(name);
    return this.maps[name].kernel.deleteBatch(Buffer.concat(keys));
  }
}

interface ListChanges {
  write: Record<Family, RawEntry[]>;
  remove: Record<Family, Buffer[]>;
  /** The host's own list is among it. */
  host: boolean;
}

function difference(actual: Entries, desired: Entries): { write: RawEntry[]; remove: Buffer[] } {
  return {
    write: [...desired]
      .filter(([key, { value }]) => !actual.get(key)?.value.equals(value))
      .map(([, entry]) => entry),
    remove: [...actual].filter(([key]) => !desired.has(key)).map(([, { key }]) => key),
  };
}

function isSame(a: SourceList | undefined, b: SourceList | undefined): boolean {
  return a?.allow === b?.allow && a?.deny === b?.deny;
}
