/** The two programs that judge by policy, XDP's and tc's, with maps of their own and a host's addresses: no endpoints, no flows. */
import { execFileSync } from "node:child_process";
import type { Codec } from "../../../src/codec.js";
import { decodePerCpu } from "../../../src/codec.js";
import { type Maps, typedMaps } from "../../../src/datapath/maps.js";
import { loadObject } from "../../../src/datapath/object.js";
import { givePlace, type XdpVerdicts, xdpDrops, xdpVerdicts } from "../../../src/datapath/xdp_counters.js";
import { type MapName, mapDefinitions } from "../../../src/generated/maps.js";
import {
  PolicyFlags,
  type PortPolicy,
  ReasonName,
  SourceVerdict,
  UplinkXdpFlags,
  VerdictName,
} from "../../../src/generated/types.js";
import type { BpfMap, BpfObject, BpfProgram } from "../../../src/native/index.js";
import { type FrameSpec, makeFrame, protocol } from "./frames.js";
import { type DeviceName, mac, makeHost } from "./host.js";

const programs = ["uplink_xdp", "uplink_ingress"] as const;
const skbSize = 192;
const skbOffset = { vlanPresent: 20, ingressIfindex: 36, ifindex: 40 } as const;
/** What a test run without a device takes for the frame's: the namespace's loopback. */
export const loopback = 1;

/** Where a packet is judged. */
export type Hook = "xdp" | "tc";
export const hooks: readonly Hook[] = ["xdp", "tc"];

export type Verdict = "pass" | "drop";
const verdicts: Readonly<Record<Hook, Readonly<Record<number, Verdict>>>> = {
  xdp: { 1: "drop", 2: "pass" },
  tc: { 2: "drop", 4294967295: "pass" },
};

/** The same host in both families. */
export const place = {
  4: {
    client: "198.18.0.2",
    other: "198.18.5.9",
    far: "203.0.113.7",
    host: "198.18.0.1",
    second: "198.18.7.1",
  },
  6: {
    client: "2001:db8:1::2",
    other: "2001:db8:5::9",
    far: "2001:db8:ffff::7",
    host: "2001:db8:1::1",
    second: "2001:db8:7::1",
  },
} as const;
export type Family = 4 | 6;
export const families: readonly Family[] = [4, 6];

const suffix = (family: Family) => `ipv${family}` as const;
const any = { 4: "0.0.0.0", 6: "::" } as const;

/** An entry of a list: "198.18.0.0/16". */
export type ListEntry = readonly [network: string, verdict: "allow" | "deny"];

export class PolicyPrograms {
  readonly device = makeHost();
  readonly #object: BpfObject;
  readonly #programs: ReadonlyMap<string, BpfProgram>;
  readonly #maps: ReadonlyMap<MapName, BpfMap>;
  readonly #typed: Maps;
  #blocks: number[] = [];

  constructor() {
    const { object } = loadObject((opened) => {
      for (const { name } of opened.programs)
        if (!(programs as readonly string[]).includes(name)) opened.setAutoload(name, false);
    });
    this.#object = object;
    this.#programs = new Map(programs.map((name) => [name, this.#object.program(name)]));
    this.#maps = new Map(
      (Object.keys(mapDefinitions) as MapName[]).map((name) => [name, this.#object.map(name)]),
    );
    this.#typed = typedMaps((name) => this.#map(name));
  }

  close(): void {
    for (const program of this.#programs.values()) program.close();
    for (const map of this.#maps.values()) map.close();
    this.#object.close();
  }

  /** No lists, no policies; the host has its addresses; XDP is attached as far as the maps say. */
  reset(): void {
    for (const name of [
      "sources_ipv4",
      "sources_ipv6",
      "port_policies_ipv4",
      "port_policies_ipv6",
      "ports_ipv4",
      "ports_ipv6",
      "limits_ipv4",
      "limits_ipv6",
      "host_addresses_ipv4",
      "host_addresses_ipv6",
      "reasons",
      "uplinks",
    ] as const)
      for (const { key } of this.#map(name).entries()) this.#map(name).delete(key);
    this.blocks(Object.fromEntries(this.#blocks.map((block) => [block, 0])));
    const places = this.#map("xdp_counters");
    for (const { key } of [...places.entries()]) places.set(key, Buffer.alloc(places.valueLength));
    for (const family of families)
      for (const address of [place[family].host, place[family].second])
        this.write(`host_addresses_${suffix(family)}`, address, 1);
    this.flags(0);
    this.uplink(0);
    execFileSync("conntrack", ["-F"], { stdio: "ignore" });
  }

  #map(name: MapName): BpfMap {
    const map = this.#maps.get(name);
    if (map === undefined) throw new Error(`no map ${name}`);
    return map;
  }

  write(name: MapName, key: unknown, value: unknown): void {
    const definition = mapDefinitions[name] as { key: Codec<unknown>; value: Codec<unknown> };
    this.#map(name).set(definition.key.encode(key), definition.value.encode(value));
  }

  read<T>(name: MapName, key: unknown): T | undefined {
    const definition = mapDefinitions[name] as { key: Codec<unknown>; value: Codec<unknown> };
    const value = this.#map(name).get(definition.key.encode(key));
    return value === undefined ? undefined : (definition.value.decode(value) as T);
  }

  entries(name: MapName): { key: unknown; value: unknown }[] {
    const definition = mapDefinitions[name] as { key: Codec<unknown>; value: Codec<unknown> };
    return [...this.#map(name).entries()].map(({ key, value }) => ({
      key: definition.key.decode(key),
      value: definition.value.decode(value),
    }));
  }

  flags(policy: number): void {
    this.write("control", 0, { epoch: 1, nextGeneration: 1, policy });
  }

  /** Of the device of tc's runs and of XDP's. */
  uplink(xdp: number): void {
    const none = { address: "0.0.0.0", netmask: "0.0.0.0" };
    for (const ifindex of [this.device.uplink0, loopback])
      this.write("uplinks", ifindex, { xdp, ipv4Count: 0, ipv4: Array(8).fill(none), ipv6: "::" });
  }

  /** What is known of whole IPv4 /16s of the host's list: by their first two bytes, 0xc612 is 198.18. */
  blocks(known: Readonly<Record<number, number>>): void {
    this.#blocks = Object.keys(known).map(Number);
    for (const [block, value] of Object.entries(known)) this.write("source_blocks", Number(block), value);
  }

  /** Fills a list; 0 is the host's. */
  list(list: number, entries: readonly ListEntry[]): void {
    for (const [network, verdict] of entries) {
      const [address = "", length = ""] = network.split("/");
      const family = address.includes(":") ? 6 : 4;
      this.write(
        `sources_${suffix(family)}`,
        { prefixLength: 32 + Number(length), list, network: address },
        verdict === "allow" ? SourceVerdict.ALLOWED : SourceVerdict.DENIED,
      );
    }
    if (list === 0) this.flags(PolicyFlags.SOURCES);
  }

  /** Gives a published port a policy, and turns policies of ports on. */
  port(
    family: Family,
    policy: Partial<PortPolicy>,
    at: { address?: string; port?: number; proto?: keyof typeof protocol; slot?: number } = {},
  ): void {
    const { address = any[family], port = 8080, proto = "tcp", slot } = at;
    const key = { address, port, proto: protocol[proto] };
    this.write(`port_policies_${suffix(family)}`, key, {
      list: 0,
      limit: 0,
      burst: 0,
      unlistedRefused: 0,
      ...policy,
    });
    if (slot !== undefined)
      this.write(`ports_${suffix(family)}`, key, { slot, generation: 1, address: any[family], port: 80 });
    this.flags(PolicyFlags.PORTS);
  }

  /** Judges a frame, as it came in by the uplink. */
  judge(hook: Hook, spec: FrameSpec): Verdict {
    return this.judgeBytes(hook, makeFrame({ destinationMac: mac.uplink, sourceMac: mac.outside, ...spec }));
  }

  judgeBytes(hook: Hook, data: Buffer, device: DeviceName = "uplink0"): Verdict {
    const context = Buffer.alloc(skbSize);
    context.writeUInt32LE(this.device[device], skbOffset.ifindex);
    context.writeUInt32LE(this.device[device], skbOffset.ingressIfindex);
    const program = this.#programs.get(hook === "xdp" ? "uplink_xdp" : "uplink_ingress");
    const result = program?.testRun(hook === "xdp" ? { data } : { data, context });
    const verdict = verdicts[hook][result?.returnValue ?? -1];
    if (verdict === undefined) throw new Error(`unexpected return value ${result?.returnValue}`);
    if (!result?.data.equals(data)) throw new Error("the packet was changed");
    return verdict;
  }

  /** XDP's verdict on a frame of which only so many bytes lie in one piece; undefined: this kernel can't make such a frame. */
  judgeSplit(data: Buffer, linear: number): Verdict | undefined {
    const context = Buffer.alloc(24);
    context.writeUInt32LE(linear, 4);
    try {
      return verdicts.xdp[this.#programs.get("uplink_xdp")?.testRun({ data, context }).returnValue ?? -1];
    } catch {
      return undefined;
    }
  }

  /** Packets dropped, "REASON" or "REASON@SLOT" by number. */
  drops(): Record<string, number> {
    const counts: Record<string, number> = {};
    const { key: keyCodec, value: valueCodec } = mapDefinitions.reasons;
    for (const { key, value } of this.#map("reasons").entries()) {
      const { slot, verdict, reason } = keyCodec.decode(key);
      if (VerdictName[verdict] !== "drop") continue;
      const name = `${ReasonName[reason]}${slot === 0xffffffff ? "" : `@${slot}`}`;
      for (const { packets } of decodePerCpu(valueCodec, value))
        counts[name] = (counts[name] ?? 0) + Number(packets);
    }
    for (const { reason, packets } of xdpDrops(this.#typed)) counts[reason] = (counts[reason] ?? 0) + packets;
    return counts;
  }

  /** Bytes that XDP has dropped for no endpoint, by reason. */
  bytes(): number[] {
    return xdpDrops(this.#typed).map(({ bytes }) => bytes);
  }

  /**
   * As XDP is attached at a device: what it does there is counted from zero on.
   * @returns false: there is no place for it beside those in use
   */
  countXdpAt(ifindex: number, inUse: readonly number[] = []): boolean {
    return givePlace(this.#typed, ifindex, new Set(inUse));
  }

  /** What XDP has done at a device that has a place. */
  xdpVerdicts(ifindex: number): XdpVerdicts | undefined {
    return xdpVerdicts(this.#typed, ifindex);
  }

  /** As if somebody here had sent from a port of the host's: conntrack knows the answer. */
  connectionFromHere(family: Family, proto: "tcp" | "udp", from: number, to: string, port: number): void {
    const args = ["-I", "-p", proto, "-s", place[family].host, "-d", to, "--sport", from, "--dport", port];
    const state = proto === "tcp" ? ["--state", "ESTABLISHED"] : [];
    execFileSync("conntrack", [...args, "--timeout", 60, ...state].map(String), { stdio: "ignore" });
  }

  /** As if a client had got through to a port of the host's before. */
  connectionToHere(family: Family, proto: "udp", from: string, sourcePort: number, port: number): void {
    const args = ["-I", "-p", proto, "-s", from, "-d", place[family].host, "--sport", sourcePort];
    execFileSync("conntrack", [...args, "--dport", port, "--timeout", 60].map(String), { stdio: "ignore" });
  }
}

export { UplinkXdpFlags };
