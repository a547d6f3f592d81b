import type { ActualState, FilledMap, RawEntry } from "../../../src/datapath/actual.js";
import { FILLED_MAPS } from "../../../src/datapath/actual.js";
import { type KernelMap, type Maps, typedMaps } from "../../../src/datapath/maps.js";
import { type MapName, mapDefinitions } from "../../../src/generated/index.js";
import { type Address, familyOf, parseMac } from "../../../src/ip.js";
import type { Plan, PlannedEndpoint, PlannedIp, PlannedPort } from "../../../src/plan/types.js";

/** An endpoint of a plan, told from others by its number. */
export function endpoint(n: number, change: Partial<PlannedEndpoint> = {}): PlannedEndpoint {
  return {
    endpointId: n.toString(16).padStart(64, "0").split("").reverse().join(""),
    containerId: n.toString(16).padStart(64, "c"),
    container: `container${n}`,
    networkId: "n".repeat(64),
    network: "bridge",
    ifindex: 100 + n,
    device: `veth${n}`,
    bridgeIfindex: 3,
    bridge: "docker0",
    ip: ip(`172.17.0.${n}`),
    bridging: true,
    matrix: false,
    mtu: 1500,
    mac: parseMac(`02:42:ac:11:00:${n.toString(16).padStart(2, "0")}`) ?? new Uint8Array(6),
    bridgeMac: parseMac("02:42:00:00:00:01") ?? new Uint8Array(6),
    ...change,
  };
}

/** An endpoint's part of the address's family; none of the other. */
export function ip(address: Address, change: Partial<PlannedIp> = {}): PlannedEndpoint["ip"] {
  const part = {
    address,
    snatAddress: undefined,
    masquerade: true,
    filtered: false,
    gateway: true,
    ...change,
  };
  return familyOf(address) === 4 ? { 4: part, 6: undefined } : { 4: undefined, 6: part };
}

/** An endpoint of both families: container n is 172.17.0.n and 2001:db8:17::n. */
export function dual(n: number, change: Partial<PlannedEndpoint> = {}): PlannedEndpoint {
  return endpoint(n, { ip: { ...ip(`172.17.0.${n}`), 6: ip(`2001:db8:17::${n}`)[6] }, ...change });
}

export function port(e: PlannedEndpoint, number: number, change: Partial<PlannedPort> = {}): PlannedPort {
  return {
    proto: "tcp",
    address: "0.0.0.0",
    port: number,
    endpointId: e.endpointId,
    containerAddress: e.ip[4]?.address ?? "",
    containerPort: 80,
    ...change,
  };
}

export function planOf(endpoints: PlannedEndpoint[], change: Partial<Plan> = {}): Plan {
  return {
    policy: { sources: { allow: [], deny: [] }, ports: [], xdp: [] },
    endpoints,
    ports: [],
    hostAddresses: ["198.18.0.5"],
    hostPorts: [],
    hostDialled: [],
    hostSockets: true,
    parents: [],
    hostRoutes: [],
    parentSubnets: [],
    uplinks: [
      {
        ifindex: 2,
        name: "eth0",
        mtu: 1500,
        l3: false,
        addresses: [{ address: "198.18.0.5", netmask: "255.255.255.0" }],
        ipv6: undefined,
      },
    ],
    leftToEngine: [],
    unsure: [],
    warnings: [],
    ...change,
  };
}

/** A map that fails as the kernel's does, and writes down what was done to it. */
export class FakeMap implements KernelMap {
  readonly entriesByKey = new Map<string, RawEntry>();

  constructor(
    readonly name: string,
    readonly maxEntries: number,
    readonly journal: string[],
    readonly array?: { valueLength: number },
  ) {}

  get(key: Uint8Array): Buffer | undefined {
    const found = this.entriesByKey.get(hex(key))?.value;
    if (found !== undefined || this.array === undefined) return found;
    return Buffer.alloc(this.array.valueLength);
  }

  set(key: Uint8Array, value: Uint8Array): void {
    if (
      this.array === undefined &&
      !this.entriesByKey.has(hex(key)) &&
      this.entriesByKey.size >= this.maxEntries
    ) {
      throw Object.assign(new Error(`update map ${this.name}: Argument list too long (E2BIG)`), {
        code: "E2BIG",
      });
    }
    const cleared = this.name === "endpoints" && value.every((byte) => byte === 0);
    this.journal.push(`${cleared ? "clear" : "set"} ${this.name}`);
    this.entriesByKey.set(hex(key), { key: Buffer.from(key), value: Buffer.from(value) });
  }

  delete(key: Uint8Array): boolean {
    this.journal.push(`delete ${this.name}`);
    return this.entriesByKey.delete(hex(key));
  }

  /** As the kernel, which does not look whether more comes: after a full batch the last may be empty. */
  getBatch(cursor: Buffer | undefined, count: number) {
    const start = cursor?.readUInt32LE(0) ?? 0;
    const most = Math.min(count, this.maxEntries);
    const piece = this.#piece(start, start + most);
    const next = Buffer.alloc(4);
    next.writeUInt32LE(start + piece.length);
    return {
      keys: Buffer.concat(piece.map((e) => e.key)),
      values: Buffer.concat(piece.map((e) => e.value)),
      count: piece.length,
      cursor: piece.length === most ? next : undefined,
    };
  }

  /** A value may be of fewer CPUs than there are. */
  sumBatch(cursor: Buffer | undefined, count: number) {
    const { keys, values, count: read, cursor: next } = this.getBatch(cursor, count);
    const fields = mapDefinitions[this.name as MapName].value.size / 8;
    const each = values.length / 8 / read;
    const sums = new Float64Array(read * fields);
    for (let at = 0; at < values.length / 8; at++)
      (sums[Math.floor(at / each) * fields + (at % fields)] as number) += Number(
        values.readBigUInt64LE(at * 8),
      );
    return { keys, sums, count: read, cursor: next };
  }

  setBatch(keys: Uint8Array, values: Uint8Array): number {
    const count = this.#count(keys);
    const keySize = keys.length / count;
    const valueSize = values.length / count;
    for (let i = 0; i < count; i++) {
      this.set(
        keys.subarray(i * keySize, (i + 1) * keySize),
        values.subarray(i * valueSize, (i + 1) * valueSize),
      );
    }
    return count;
  }

  deleteBatch(keys: Uint8Array): number {
    const count = this.#count(keys);
    const size = keys.length / count;
    let deleted = 0;
    for (let i = 0; i < count; i++) if (this.delete(keys.subarray(i * size, (i + 1) * size))) deleted++;
    return deleted;
  }

  *entries(): Generator<RawEntry> {
    yield* this.#piece(0, this.maxEntries);
  }

  close(): void {}

  #count(keys: Uint8Array): number {
    return keys.length / mapDefinitions[this.name as MapName].key.size;
  }

  /** Entries from start to end; an array has all that it can have. */
  #piece(start: number, end: number): RawEntry[] {
    if (this.array === undefined) {
      return [...this.entriesByKey.values()].slice(start, end);
    }
    const { valueLength } = this.array;
    const empty = Buffer.alloc(valueLength);
    return Array.from({ length: Math.min(end, this.maxEntries) - start }, (_, i) => {
      const key = Buffer.alloc(4);
      key.writeUInt32LE(start + i);
      return { key, value: this.entriesByKey.get(hex(key))?.value ?? empty };
    });
  }
}

export interface FakeMaps {
  maps: Maps;
  journal: string[];
  fake: (name: MapName) => FakeMap;
}

/** Every map of the object, empty; `sizes` makes some smaller than they are. Two CPUs. */
export function fakeMaps(sizes: Partial<Record<MapName, number>> = {}): FakeMaps {
  const journal: string[] = [];
  const fakes = new Map<MapName, FakeMap>();
  const maps = typedMaps((name) => {
    const definition = mapDefinitions[name];
    const isArray = definition.type === "array" || definition.type === "percpu_array";
    const valueLength = (definition.perCpu ? 2 : 1) * definition.value.size;
    const max = sizes[name] ?? definition.maxEntries;
    const fake = new FakeMap(name, max, journal, isArray ? { valueLength } : undefined);
    fakes.set(name, fake);
    return fake;
  });
  return { maps, journal, fake: (name) => fakes.get(name) as FakeMap };
}

/** What the entries of the filled maps mean, for people to compare. */
export function decoded(filled: ActualState["filled"]): Record<FilledMap, unknown[]> {
  const result: Partial<Record<FilledMap, unknown[]>> = {};
  for (const name of FILLED_MAPS) {
    result[name] = [...filled[name].values()].map(({ key, value }) => [
      mapDefinitions[name].key.decode(key),
      mapDefinitions[name].value.decode(value),
    ]);
  }
  return result as Record<FilledMap, unknown[]>;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
