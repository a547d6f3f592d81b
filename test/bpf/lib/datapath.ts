/** The loaded programs with maps of their own: what a test fills, runs packets through, and reads back. */
import { readFileSync } from "node:fs";
import type { Codec } from "../../../src/codec.js";
import { type MapName, mapDefinitions } from "../../../src/generated/maps.js";
import { type ProgramName, programNames } from "../../../src/generated/programs.js";
import {
  type Endpoint,
  EndpointFlags,
  type Flow,
  type FlowKey,
  ReasonName,
  VerdictName,
} from "../../../src/generated/types.js";
import { netmask, parseIpv4, parseMac } from "../../../src/ipv4.js";
import {
  type BpfMap,
  BpfObject,
  type BpfProgram,
  type ConntrackEntry,
  deleteConntrack,
  listConntrack,
  type ProgramInfo,
} from "../../../src/native/index.js";
import { address, type DeviceName, mac, makeHost } from "./host.js";
import { frame, type PacketSpec, type ParsedPacket, parseFrame } from "./packet.js";

const objectPath = new URL("../../../build/fairway.bpf.o", import.meta.url);
const contextSize = 192;
const contextOffset = { ingressIfindex: 36, ifindex: 40, gsoSegments: 164, gsoSize: 176 } as const;
const verdicts: Readonly<Record<number, Verdict>> = { 4294967295: "next", 2: "drop", 7: "redirect" };

const mapNames = Object.keys(mapDefinitions) as MapName[];

export type Verdict = "next" | "drop" | "redirect";

/** The slots that the test host's endpoints have. */
export const slot = { web: 1, db: 2 } as const;
export const published = { tcp: 8080, udp: 5353, onSecondAddress: 9090 } as const;

export interface Run {
  verdict: Verdict;
  /** The frame afterwards, read on demand: a malformed one can only be compared byte by byte. */
  readonly packet: ParsedPacket;
  bytes: Buffer;
  /** The frame as it went in. */
  before: Buffer;
  durationNs: number;
}

export interface RunOptions {
  gso?: { segments: number; size: number };
}

export class Datapath {
  readonly device = makeHost();
  readonly #object = BpfObject.open(readFileSync(objectPath), "fairway");
  readonly #programs: ReadonlyMap<ProgramName, BpfProgram>;
  readonly #maps: ReadonlyMap<MapName, BpfMap>;
  #generation = 100;

  constructor() {
    this.#object.load();
    this.#programs = new Map(programNames.map((name) => [name, this.#object.program(name)]));
    this.#maps = new Map(mapNames.map((name) => [name, this.#object.map(name)]));
  }

  close(): void {
    for (const program of this.#programs.values()) program.close();
    for (const map of this.#maps.values()) map.close();
    this.#object.close();
  }

  #program(name: ProgramName): BpfProgram {
    const program = this.#programs.get(name);
    if (program === undefined) throw new Error(`no program ${name}`);
    return program;
  }

  #map(name: MapName): BpfMap {
    const map = this.#maps.get(name);
    if (map === undefined) throw new Error(`no map ${name}`);
    return map;
  }

  programInfo(name: ProgramName): ProgramInfo {
    return this.#program(name).info;
  }

  /** Everything as on a host with two endpoints, web (which publishes ports) and db; no flows, no conntrack entries. */
  reset(): void {
    for (const name of mapNames) this.#clear(name);
    for (const entry of listConntrack(4)) deleteConntrack(entry.original);
    this.write("control", 0, { epoch: 1, nextGeneration: this.#generation });
    this.putEndpoint(slot.web, {});
    this.putEndpoint(slot.db, {
      ifindex: this.device.db0,
      address: ipv4(address.db),
      mac: parseMac(mac.db) ?? new Uint8Array(),
    });
    this.publish(6, published.tcp, 80);
    this.publish(17, published.udp, 53);
    this.publish(6, published.onSecondAddress, 90, ipv4(address.hostSecond));
    for (const own of [address.host, address.hostSecond, address.gateway]) {
      this.write("host_addresses", ipv4(own), 1);
    }
    this.putUplink({});
  }

  putEndpoint(at: number, changes: Partial<Endpoint>): Endpoint {
    this.#generation += 1;
    const endpoint: Endpoint = {
      generation: this.#generation,
      ifindex: this.device.web0,
      bridgeIfindex: this.device["br-app"],
      address: ipv4(address.web),
      snatAddress: 0,
      flags: EndpointFlags.MASQUERADE | EndpointFlags.BRIDGING,
      mtu: 1500,
      mac: parseMac(mac.web) ?? new Uint8Array(),
      bridgeMac: parseMac(mac.bridge) ?? new Uint8Array(),
      idHash: BigInt(at),
      ...changes,
    };
    const ref = { slot: at, generation: endpoint.generation };
    this.write("endpoints", at, endpoint);
    this.write("endpoint_devices", endpoint.ifindex, ref);
    this.write("endpoint_addresses", { address: endpoint.address }, ref);
    this.write("fdb", { bridgeIfindex: endpoint.bridgeIfindex, mac: endpoint.mac }, ref);
    return endpoint;
  }

  publish(proto: number, port: number, containerPort: number, hostAddress = 0): void {
    const web = this.read<Endpoint>("endpoints", slot.web);
    this.write(
      "ports",
      { address: hostAddress, port, proto },
      { slot: slot.web, generation: web.generation, address: web.address, port: containerPort },
    );
  }

  putUplink(changes: { mtu?: number; addresses?: [string, number][] }): void {
    const addresses = changes.addresses ?? [
      [address.host, 24],
      [address.hostSecond, 24],
    ];
    this.write("uplinks", this.device.uplink0, {
      mtu: changes.mtu ?? 1500,
      addressCount: addresses.length,
      addresses: Array.from({ length: 8 }, (_, index) => {
        const [text, prefix] = addresses[index] ?? ["0.0.0.0", 0];
        return { address: ipv4(text), netmask: netmask(prefix) };
      }),
    });
  }

  /** Runs one frame through a program as if it had come in by (egress: were about to leave by) the device. */
  run(program: ProgramName, device: DeviceName, data: Buffer, options: RunOptions = {}): Run {
    const context = Buffer.alloc(contextSize);
    context.writeUInt32LE(this.device[device], contextOffset.ifindex);
    context.writeUInt32LE(this.device[device], contextOffset.ingressIfindex);
    context.writeUInt32LE(options.gso?.segments ?? 0, contextOffset.gsoSegments);
    context.writeUInt32LE(options.gso?.size ?? 0, contextOffset.gsoSize);
    const result = this.#program(program).testRun({ data, context });
    const verdict = verdicts[result.returnValue];
    if (verdict === undefined) throw new Error(`unexpected return value ${result.returnValue}`);
    return {
      verdict,
      get packet() {
        return parseFrame(result.data);
      },
      bytes: result.data,
      before: data,
      durationNs: result.durationNs,
    };
  }

  /** A frame from outside to the host, by default to the published TCP port. */
  fromOutside(spec: Partial<PacketSpec>, options?: RunOptions): Run {
    const data = frame({
      sourceMac: mac.outside,
      destinationMac: mac.uplink,
      source: address.client,
      destination: address.host,
      sourcePort: 40000,
      destinationPort: published.tcp,
      ...spec,
    });
    return this.run("uplink_ingress", "uplink0", data, options);
  }

  /** A frame that web sends to its gateway, by default on to the internet. */
  fromWeb(spec: Partial<PacketSpec>, options?: RunOptions): Run {
    const data = frame({
      sourceMac: mac.web,
      destinationMac: mac.bridge,
      source: address.web,
      destination: address.internet,
      sourcePort: 50000,
      destinationPort: 443,
      ...spec,
    });
    return this.run("endpoint_ingress", "web0", data, options);
  }

  /** The same of db, at its own veth. */
  fromDb(spec: Partial<PacketSpec>): Run {
    const data = frame({
      sourceMac: mac.db,
      destinationMac: mac.bridge,
      source: address.db,
      destination: address.internet,
      sourcePort: 50000,
      destinationPort: 443,
      ...spec,
    });
    return this.run("endpoint_ingress", "db0", data);
  }

  flows(): { key: FlowKey; flow: Flow }[] {
    return this.#entries("flows").map(({ key, value }) => ({ key: key as FlowKey, flow: value as Flow }));
  }

  conntrack(): ConntrackEntry[] {
    return listConntrack(4);
  }

  /** Packets by reason's name, of one verdict. */
  reasons(verdict: "slow" | "drop" = "slow"): Record<string, number> {
    const map = this.#map("reasons");
    const { key: keyCodec, value: valueCodec } = mapDefinitions.reasons;
    const counts: Record<string, number> = {};
    for (const { key, value } of map.entries()) {
      const decoded = keyCodec.decode(key);
      if (VerdictName[decoded.verdict] !== verdict) continue;
      const name = ReasonName[decoded.reason] ?? String(decoded.reason);
      for (const packets of perCpu(valueCodec, value)) {
        counts[name] = (counts[name] ?? 0) + Number(packets.packets);
      }
    }
    return counts;
  }

  /** Packets and bytes of an endpoint. */
  counters(
    at: number,
  ): Record<"receive" | "transmit", Record<"fast" | "slow", { packets: number; bytes: number }>> {
    const { key, value } = mapDefinitions.endpoint_counters;
    const raw = this.#map("endpoint_counters").get(key.encode(at));
    if (raw === undefined) throw new Error(`no counters in slot ${at}`);
    const sum = (direction: number, path: number): { packets: number; bytes: number } => {
      const total = { packets: 0, bytes: 0 };
      for (const cpu of perCpu(value, raw)) {
        const counter = cpu.path[direction]?.[path];
        total.packets += Number(counter?.packets ?? 0n);
        total.bytes += Number(counter?.bytes ?? 0n);
      }
      return total;
    };
    return {
      receive: { fast: sum(0, 0), slow: sum(0, 1) },
      transmit: { fast: sum(1, 0), slow: sum(1, 1) },
    };
  }

  write<K, V>(name: MapName, key: K, value: V): void {
    const definition = mapDefinitions[name] as { key: Codec<unknown>; value: Codec<unknown> };
    this.#map(name).set(definition.key.encode(key), definition.value.encode(value));
  }

  read<V>(name: MapName, key: unknown): V {
    const definition = mapDefinitions[name] as { key: Codec<unknown>; value: Codec<unknown> };
    const value = this.#map(name).get(definition.key.encode(key));
    if (value === undefined) throw new Error(`no such entry in ${name}`);
    return definition.value.decode(value) as V;
  }

  remove(name: MapName, key: unknown): void {
    const definition = mapDefinitions[name] as { key: Codec<unknown> };
    this.#map(name).delete(definition.key.encode(key));
  }

  #entries(name: MapName): { key: unknown; value: unknown }[] {
    const definition = mapDefinitions[name] as { key: Codec<unknown>; value: Codec<unknown> };
    return [...this.#map(name).entries()].map(({ key, value }) => ({
      key: definition.key.decode(key),
      value: definition.value.decode(value),
    }));
  }

  #clear(name: MapName): void {
    const map = this.#map(name);
    if (mapDefinitions[name].type.includes("array")) {
      // Arrays have no deletion; the test host uses their first slots, and masquerade_ports all.
      const used = name === "masquerade_ports" ? 65536 : Math.min(8, map.info.maxEntries);
      const keys = Buffer.alloc(used * 4);
      for (let index = 0; index < used; index += 1) keys.writeUInt32LE(index, index * 4);
      map.setBatch(keys, Buffer.alloc(used * map.valueLength));
      return;
    }
    for (const { key } of map.entries()) map.delete(key);
  }
}

function* perCpu<T>(codec: Codec<T>, value: Buffer): Generator<T> {
  const stride = Math.ceil(codec.size / 8) * 8;
  for (let offset = 0; offset < value.length; offset += stride) yield codec.decode(value, offset);
}

export function ipv4(text: string): number {
  const value = parseIpv4(text);
  if (value === undefined) throw new Error(`no IPv4 address: ${text}`);
  return value;
}
