/** The loaded programs with maps of their own: what a test fills, runs packets through, and reads back. */
import { readFileSync } from "node:fs";
import { afterAll, beforeEach } from "vitest";
import { type Codec, decodePerCpu, sumPerCpu } from "../../../src/codec.js";
import { loadObject } from "../../../src/datapath/object.js";
import { type MapName, mapDefinitions } from "../../../src/generated/maps.js";
import { type ProgramName, programNames } from "../../../src/generated/programs.js";
import {
  type ConnectionCounters,
  Direction,
  type Endpoint,
  EndpointFlags,
  EndpointIpFlags,
  type FlowSweep,
  type FlowTableCounters,
  flowSweepCodec,
  type Handshakes,
  type OpenConnections,
  type PortIpv4,
  type PortKeyIpv4,
  PUBLISHED_BITS,
  type ReasonKey,
  ReasonName,
  VerdictName,
} from "../../../src/generated/types.js";
import { type Address, ANY, FAMILIES, type Family, netmask, parseMac } from "../../../src/ip.js";
import {
  type BpfMap,
  type BpfObject,
  type BpfProgram,
  deleteConntrack,
  listConntrack,
  type ProgramInfo,
  type TestRunResult,
} from "../../../src/native/index.js";
import { addresses, type DeviceName, mac, makeHost } from "./host.js";
import { type ParsedFrame, parseFrame, protocolNumber } from "./packet.js";

/** The programs as they are built. */
export const objectPath = new URL("../../../build/fairway.bpf.o", import.meta.url);

/** Of struct __sk_buff: what BPF_PROG_TEST_RUN takes of it. */
const skb = {
  size: 192,
  mark: 8,
  ingressIfindex: 36,
  ifindex: 40,
  gsoSegments: 164,
  gsoSize: 176,
} as const;
/** Of struct xdp_md. */
const xdp = { size: 24, dataEnd: 4, ingressIfindex: 12 } as const;

export type Verdict = "next" | "drop" | "redirect";
const verdicts: Readonly<Record<number, Verdict>> = { 4294967295: "next", 2: "drop", 7: "redirect" };
export type XdpVerdict = "aborted" | "drop" | "pass" | "tx" | "redirect";
const xdpVerdicts: readonly XdpVerdict[] = ["aborted", "drop", "pass", "tx", "redirect"];

const mapNames = Object.keys(mapDefinitions) as MapName[];

/** The slots that the test host's endpoints have. */
export const slot = { web: 1, db: 2 } as const;
/** The host's ports; the container's are 80, 53 and 90. */
export const published = { tcp: 8080, udp: 5353, onSecondAddress: 9090 } as const;

/** What endpoints are by default. */
export const bridging = EndpointFlags.BRIDGING;

export interface Run<V = Verdict> {
  verdict: V;
  /** The frame afterwards, read on demand: a malformed one can only be compared byte by byte. */
  readonly packet: ParsedFrame;
  bytes: Buffer;
  /** The frame as it went in. */
  before: Buffer;
  durationNs: number;
}

export interface RunOptions {
  gso?: { segments: number; size: number };
  /** Where it came in, where that is not the device that the program runs at; null: nowhere, it is the host's own. */
  arrivedBy?: DeviceName | null;
  mark?: number;
  /** It comes with a NIC's sum of all of it; the run fails where the program does not keep that true. Since Linux 6.16. */
  checksumComplete?: boolean;
}

export interface Traffic {
  packets: number;
  bytes: number;
}
export interface PortCounts {
  receive: Traffic;
  transmit: Traffic;
  opened: number;
  refused: number;
}
export type EndpointTraffic = Record<"receive" | "transmit", Record<"fast" | "slow", Traffic>>;

/**
 * Makes a datapath that every test of the file finds as reset() leaves it.
 * @param prepare as Datapath's
 */
export function useDatapath(prepare?: (object: BpfObject) => void): Datapath {
  const datapath = new Datapath(prepare);
  beforeEach(() => datapath.reset(), 60_000);
  afterAll(() => datapath.close());
  return datapath;
}

export class Datapath {
  readonly device = makeHost();
  readonly #object: BpfObject;
  readonly #programs: ReadonlyMap<ProgramName, BpfProgram>;
  readonly #maps: ReadonlyMap<MapName, BpfMap>;
  #generation = 100;
  #sweeps = 0;
  #portNumber = 0;
  /** Whether a port may have been marked in masquerade_ports, which takes its time to clear. */
  #portsMarked = true;

  /**
   * @param prepare before the programs are loaded: constants, sizes of maps
   * @param image the object file
   */
  constructor(
    prepare: (object: BpfObject) => void = () => undefined,
    image: Uint8Array = readFileSync(objectPath),
  ) {
    this.#object = loadObject(prepare, image).object;
    this.#programs = new Map(programNames.map((name) => [name, this.#object.program(name)]));
    this.#maps = new Map(mapNames.map((name) => [name, this.#object.map(name)]));
  }

  close(): void {
    for (const program of this.#programs.values()) program.close();
    for (const map of this.#maps.values()) map.close();
    this.#object.close();
  }

  program(name: ProgramName): BpfProgram {
    const program = this.#programs.get(name);
    if (program === undefined) throw new Error(`no program ${name}`);
    return program;
  }

  map(name: MapName): BpfMap {
    const map = this.#maps.get(name);
    if (map === undefined) throw new Error(`no map ${name}`);
    return map;
  }

  programInfo(name: ProgramName): ProgramInfo {
    return this.program(name).info;
  }

  /**
   * Everything as on a host with two endpoints, web (which publishes ports) and db, and one uplink, uplink0, in both
   * families; no flows, no conntrack entries.
   */
  reset(): void {
    // What is kept with sockets goes with them, and can't be listed.
    for (const name of mapNames) if (mapDefinitions[name].type !== "sk_storage") this.#clear(name);
    this.#portsMarked = false;
    this.#portNumber = 0;
    for (const family of FAMILIES) {
      for (const entry of listConntrack(family)) deleteConntrack(entry.original);
    }
    this.write("control", 0, { epoch: 1, nextGeneration: this.#generation, policy: 0 });
    this.putEndpoint(slot.web);
    this.putEndpoint(slot.db);
    for (const family of FAMILIES) {
      this.publishDefaults(family);
      const { host, hostSecond, hostOnUplink1, gateway } = addresses[family];
      for (const own of [host, hostSecond, hostOnUplink1, gateway]) {
        this.write(`host_addresses_ipv${family}`, own, 1);
      }
    }
    this.putUplink();
  }

  /** Writes an endpoint, web's or db's own but for the changes, with a new generation. */
  putEndpoint(at: number, changes: Partial<Endpoint> = {}): Endpoint {
    this.#generation += 1;
    const name = at === slot.db ? "db" : "web";
    const endpoint: Endpoint = {
      generation: this.#generation,
      ifindex: this.device[`${name}0`],
      bridgeIfindex: this.device["br-app"],
      flags: bridging,
      network: 0,
      mtu: 1500,
      mac: macOf(mac[name]),
      bridgeMac: macOf(mac.bridge),
      idHash: BigInt(at),
      published: 0n,
      ipv4: { address: addresses[4][name], snatAddress: ANY[4], flags: EndpointIpFlags.MASQUERADE },
      ipv6: { address: addresses[6][name], snatAddress: ANY[6], flags: EndpointIpFlags.MASQUERADE },
      ...changes,
    };
    const ref = { slot: at, generation: endpoint.generation };
    this.#zero("connection_counters", at);
    for (const direction of [Direction.RECEIVE, Direction.TRANSMIT])
      this.#zero("handshakes", { bridgeIfindex: endpoint.bridgeIfindex, direction });
    this.write("endpoints", at, endpoint);
    this.write("endpoint_devices", endpoint.ifindex, ref);
    this.write("endpoint_addresses_ipv4", endpoint.ipv4.address, ref);
    this.write("endpoint_addresses_ipv6", endpoint.ipv6.address, ref);
    this.write("fdb", { bridgeIfindex: endpoint.bridgeIfindex, mac: endpoint.mac }, ref);
    return endpoint;
  }

  /** Frees a slot, as when the container is gone; what refers to it stays. */
  clearSlot(at: number): void {
    this.write("endpoints", at, { ...this.endpoint(at), generation: 0 });
  }

  endpoint(at: number): Endpoint {
    return this.read<Endpoint>("endpoints", at);
  }

  /** Publishes a port of web as it is now, by default on any address. It gets a number that none has had since reset(). */
  publish(
    family: Family,
    proto: number,
    port: number,
    containerPort: number,
    hostAddress: Address = ANY[family],
  ): void {
    const web = this.endpoint(slot.web);
    const bit = 1n << BigInt(containerPort % PUBLISHED_BITS);
    this.write("endpoints", slot.web, { ...web, published: web.published | bit });
    this.write(
      `ports_ipv${family}`,
      { address: hostAddress, port, proto },
      {
        slot: slot.web,
        generation: web.generation,
        address: web[`ipv${family}`].address,
        port: containerPort,
        number: ++this.#portNumber,
      },
    );
  }

  /** The ports of `published`, of web as it is now. */
  publishDefaults(family: Family): void {
    this.publish(family, protocolNumber.tcp, published.tcp, 80);
    this.publish(family, protocolNumber.udp, published.udp, 53);
    this.publish(family, protocolNumber.tcp, published.onSecondAddress, 90, addresses[family].hostSecond);
  }

  /** Makes a device, by its name or ifindex, an uplink. Its IPv4 addresses are primary, in this order. */
  putUplink(
    device: DeviceName | number = "uplink0",
    changes: {
      ipv4?: readonly (readonly [Address, number])[];
      ipv6?: Address;
      xdp?: number;
      mtu?: number;
    } = {},
  ): void {
    const onUplink1 = device === "uplink1";
    const { host, hostSecond, hostOnUplink1 } = addresses[4];
    const own =
      changes.ipv4 ??
      (onUplink1
        ? [[hostOnUplink1, 24]]
        : [
            [host, 24],
            [hostSecond, 24],
          ]);
    this.write("uplinks", this.#ifindexOf(device), {
      xdp: changes.xdp ?? 0,
      mtu: changes.mtu ?? 1500,
      ipv4Count: own.length,
      ipv4: Array.from({ length: 8 }, (_, index) => {
        const [address, prefix] = own[index] ?? [ANY[4], 0];
        return { address, netmask: netmask(prefix) };
      }),
      ipv6: changes.ipv6 ?? (onUplink1 ? addresses[6].hostOnUplink1 : addresses[6].host),
    });
  }

  #ifindexOf(device: DeviceName | number): number {
    return typeof device === "number" ? device : this.device[device];
  }

  /** Runs one frame through a tc program at the device. */
  run(program: ProgramName, device: DeviceName | number, data: Buffer, options: RunOptions = {}): Run {
    const { arrivedBy = device, gso, mark, checksumComplete = false } = options;
    const context = Buffer.alloc(skb.size);
    context.writeUInt32LE(mark ?? 0, skb.mark);
    context.writeUInt32LE(this.#ifindexOf(device), skb.ifindex);
    context.writeUInt32LE(arrivedBy === null ? 0 : this.#ifindexOf(arrivedBy), skb.ingressIfindex);
    context.writeUInt32LE(gso?.segments ?? 0, skb.gsoSegments);
    context.writeUInt32LE(gso?.size ?? 0, skb.gsoSize);
    if (program === "endpoint_ingress" || program === "parent_egress") this.#portsMarked = true;
    const result = this.program(program).testRun({ data, context, checksumComplete });
    const verdict = verdicts[result.returnValue];
    if (verdict === undefined) throw new Error(`unexpected return value ${result.returnValue}`);
    return asRun(result, verdict, data);
  }

  /** Runs one frame through an XDP program as if it had come in by the device. */
  runXdp(program: ProgramName, device: DeviceName, data: Buffer): Run<XdpVerdict> {
    const context = Buffer.alloc(xdp.size);
    context.writeUInt32LE(data.length, xdp.dataEnd);
    context.writeUInt32LE(this.device[device], xdp.ingressIfindex);
    const result = this.program(program).testRun({ data, context });
    const verdict = xdpVerdicts[result.returnValue];
    if (verdict === undefined) throw new Error(`unexpected return value ${result.returnValue}`);
    return asRun(result, verdict, data);
  }

  /** Runs flow_sweep; times in ns, 0 (the default): nothing is idle for too long, or was learned before. */
  sweep(
    idle: Partial<
      Record<"tcp" | "opening" | "closing" | "closed" | "udp" | "stream" | "learnedBefore", bigint>
    > = {},
  ): FlowSweep {
    this.#sweeps += 1;
    const context = flowSweepCodec.encode({
      number: this.#sweeps,
      tcpIdleNs: idle.tcp ?? 0n,
      openingIdleNs: idle.opening ?? 0n,
      closingIdleNs: idle.closing ?? 0n,
      closedIdleNs: idle.closed ?? 0n,
      udpIdleNs: idle.udp ?? 0n,
      streamIdleNs: idle.stream ?? 0n,
      learnedBefore: idle.learnedBefore ?? 0n,
      entries: [0n, 0n],
      deleted: [0n, 0n],
      voidEntries: [0n, 0n],
    });
    const result = this.program("flow_sweep").run(context);
    if (result.returnValue !== 0) throw new Error(`flow_sweep returned ${result.returnValue}`);
    return flowSweepCodec.decode(result.context);
  }

  /** Packets by reason's name, of one verdict. */
  reasons(verdict: "slow" | "drop" = "slow"): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { key, packets } of this.reasonEntries()) {
      if (VerdictName[key.verdict] !== verdict) continue;
      const name = ReasonName[key.reason] ?? String(key.reason);
      counts[name] = (counts[name] ?? 0) + packets;
    }
    return counts;
  }

  /** All that `reasons` has, with slot, direction and verdict. */
  reasonEntries(): ({ key: ReasonKey } & Traffic)[] {
    const { key: keyCodec, value: valueCodec } = mapDefinitions.reasons;
    return [...this.map("reasons").entries()].map(({ key, value }) => ({
      key: keyCodec.decode(key),
      ...sum(decodePerCpu(valueCodec, value)),
    }));
  }

  /** Packets and bytes of an endpoint. */
  counters(at: number): EndpointTraffic {
    const { key, value } = mapDefinitions.endpoint_counters;
    const raw = this.map("endpoint_counters").get(key.encode(at));
    if (raw === undefined) throw new Error(`no counters in slot ${at}`);
    const cpus = decodePerCpu(value, raw);
    const of = (direction: number, path: number): Traffic =>
      sum(cpus.map((cpu) => cpu.path[direction]?.[path] ?? { packets: 0n, bytes: 0n }));
    return {
      receive: { fast: of(0, 0), slow: of(0, 1) },
      transmit: { fast: of(1, 0), slow: of(1, 1) },
    };
  }

  /** What was counted of an endpoint's connections, over all CPUs. */
  connections(at: number): ConnectionCounters {
    const { key, value } = mapDefinitions.connection_counters;
    const raw = this.map("connection_counters").get(key.encode(at));
    if (raw === undefined) throw new Error(`no connection counters in slot ${at}`);
    return sumPerCpu(value, raw, 0, raw.length);
  }

  /** What was counted of the handshakes of a network's connections, over all CPUs. */
  handshakes(device: DeviceName, direction: number): Handshakes {
    const { key, value } = mapDefinitions.handshakes;
    const raw = this.map("handshakes").get(key.encode({ bridgeIfindex: this.device[device], direction }));
    if (raw === undefined) throw new Error(`no handshakes of ${device}`);
    return sumPerCpu(value, raw, 0, raw.length);
  }

  /** An endpoint's open connections, as the last sweep has counted them; undefined: it has counted none. */
  openConnections(at: number): OpenConnections | undefined {
    const open = this.read<OpenConnections>("open_connections", at);
    return open.sweep === this.#sweeps ? open : undefined;
  }

  /** What endpoints have sent each other, where it is counted: "SLOT>SLOT", of those that are in these slots now; "stale" of others. */
  pairs(): Record<string, Traffic> {
    const { key: keyCodec, value: valueCodec } = mapDefinitions.pairs;
    const found: Record<string, Traffic> = {};
    for (const { key, value } of this.map("pairs").entries()) {
      const { from, to } = keyCodec.decode(key);
      const isHere = [from, to].every(
        ({ slot, generation }) => this.endpoint(slot).generation === generation,
      );
      const name = isHere ? `${from.slot}>${to.slot}` : "stale";
      found[name] = sum([...decodePerCpu(valueCodec, value), ...asCounters(found[name])]);
    }
    return found;
  }

  /** What was in no pair for want of room. */
  pairsUncounted(): Traffic {
    const { key, value } = mapDefinitions.pairs_uncounted;
    return sum(decodePerCpu(value, this.map("pairs_uncounted").get(key.encode(0)) ?? Buffer.alloc(0)));
  }

  /** What was counted of published ports, over all CPUs: "tcp ADDRESS PORT", or the number where none has it; only of those that have some. */
  portCounts(): Record<string, PortCounts> {
    const { value } = mapDefinitions.port_counters;
    const counts: Record<string, PortCounts> = {};
    for (const entry of this.map("port_counters").entries()) {
      const number = entry.key.readUInt32LE(0);
      const { traffic, opened, refused } = sumPerCpu(value, entry.value, 0, entry.value.length);
      const [receive, transmit] = traffic.map((counter) => sum([counter])) as [Traffic, Traffic];
      const all = { receive, transmit, opened: Number(opened), refused: Number(refused) };
      if (receive.packets + transmit.packets + all.opened + all.refused > 0)
        counts[this.#portOf(number) ?? String(number)] = all;
    }
    return counts;
  }

  #portOf(number: number): string | undefined {
    for (const family of FAMILIES) {
      for (const { key, value } of this.entries<PortKeyIpv4, PortIpv4>(`ports_ipv${family}`)) {
        if (value.number !== number) continue;
        return `${key.proto === protocolNumber.tcp ? "tcp" : "udp"} ${key.address} ${key.port}`;
      }
    }
    return undefined;
  }

  /** What became of a family's flow entries. */
  flowTableCounters(family: Family): Record<keyof FlowTableCounters, number> {
    const { key, value } = mapDefinitions.flow_table_counters;
    const raw = this.map("flow_table_counters").get(key.encode(family === 4 ? 0 : 1));
    if (raw === undefined) throw new Error("no flow table counters");
    const totals = { inserted: 0, deleted: 0 };
    for (const cpu of decodePerCpu(value, raw)) {
      totals.inserted += Number(cpu.inserted);
      totals.deleted += Number(cpu.deleted);
    }
    return totals;
  }

  /** In a per-CPU map: on every CPU. */
  write<K, V>(name: MapName, key: K, value: V): void {
    const definition = definitionOf(name);
    const map = this.map(name);
    const one = definition.value.encode(value);
    const times = mapDefinitions[name].type.includes("percpu")
      ? map.valueLength / (Math.ceil(one.length / 8) * 8)
      : 1;
    map.set(definition.key.encode(key), times === 1 ? one : Buffer.concat(Array<Buffer>(times).fill(one)));
  }

  /** Writes the same value for every CPU. */
  writePerCpu<K, V>(name: MapName, key: K, value: V): void {
    const definition = definitionOf(name);
    const one = Buffer.from(definition.value.encode(value));
    const cpus = this.map(name).valueLength / one.length;
    this.map(name).set(definition.key.encode(key), Buffer.concat(Array.from({ length: cpus }, () => one)));
  }

  read<V>(name: MapName, key: unknown): V {
    const definition = definitionOf(name);
    const value = this.map(name).get(definition.key.encode(key));
    if (value === undefined) throw new Error(`no such entry in ${name}`);
    return definition.value.decode(value) as V;
  }

  remove(name: MapName, key: unknown): void {
    this.map(name).delete(definitionOf(name).key.encode(key));
  }

  entries<K, V>(name: MapName): { key: K; value: V }[] {
    const definition = definitionOf(name);
    return [...this.map(name).entries()].map(({ key, value }) => ({
      key: definition.key.decode(key) as K,
      value: definition.value.decode(value) as V,
    }));
  }

  /** An entry of a per-CPU map, all zero. */
  #zero(name: MapName, key: unknown): void {
    const map = this.map(name);
    map.set(definitionOf(name).key.encode(key), Buffer.alloc(map.valueLength));
  }

  #clear(name: MapName): void {
    const map = this.map(name);
    if (name === "masquerade_ports" && !this.#portsMarked) return;
    if (mapDefinitions[name].type.includes("array")) {
      // Arrays have no deletion; the test host uses their first slots, and masquerade_ports all.
      const used = name === "masquerade_ports" ? 65536 : Math.min(24, map.info.maxEntries);
      const keys = Buffer.alloc(used * 4);
      for (let index = 0; index < used; index += 1) keys.writeUInt32LE(index, index * 4);
      map.setBatch(keys, Buffer.alloc(used * map.valueLength));
      return;
    }
    for (const { key } of map.entries()) map.delete(key);
  }
}

function definitionOf(name: MapName): { key: Codec<unknown>; value: Codec<unknown> } {
  return mapDefinitions[name] as { key: Codec<unknown>; value: Codec<unknown> };
}

function asRun<V>(result: TestRunResult, verdict: V, before: Buffer): Run<V> {
  return {
    verdict,
    get packet() {
      return parseFrame(result.data);
    },
    bytes: result.data,
    before,
    durationNs: result.durationNs,
  };
}

function asCounters(traffic: Traffic | undefined): { packets: bigint; bytes: bigint }[] {
  return traffic === undefined ? [] : [{ packets: BigInt(traffic.packets), bytes: BigInt(traffic.bytes) }];
}

function sum(counters: readonly { packets: bigint; bytes: bigint }[]): Traffic {
  return counters.reduce(
    (total, { packets, bytes }) => ({
      packets: total.packets + Number(packets),
      bytes: total.bytes + Number(bytes),
    }),
    { packets: 0, bytes: 0 },
  );
}

function macOf(text: string): Uint8Array {
  const bytes = parseMac(text);
  if (bytes === undefined) throw new Error(`no MAC address: ${text}`);
  return bytes;
}
