/** The datapath in one family, so that a behaviour is written once and tested in both. */
import { describe } from "vitest";
import type { MapName } from "../../../src/generated/maps.js";
import {
  type EndpointIpv4,
  FLOW_TICK_SHIFT,
  type Flow,
  type FlowKeyIpv4,
} from "../../../src/generated/types.js";
import { type Address, FAMILIES, type Family } from "../../../src/ip.js";
import { type ConntrackEntry, listConntrack } from "../../../src/native/index.js";
import { type Datapath, published, type Run, type RunOptions, slot } from "./datapath.js";
import { addresses, type DeviceName, ip, mac } from "./host.js";
import { frame, type PacketSpec, tcpFlag } from "./packet.js";

/** struct flow_ipv4 and flow_ipv6, flat. */
export interface FlowEntry extends Flow {
  saddr: Address;
  daddr: Address;
  nextHopFamily: number;
  nextHop: Address;
  nextHopMac: Uint8Array;
}

/** The tick of the flow table's clock that is so many seconds before another. It wraps. */
export function secondsBefore(tick: number, seconds: number): number {
  return (tick - Math.ceil((seconds * 1e9) / 2 ** FLOW_TICK_SHIFT)) >>> 0;
}

type PairedMap = {
  [Name in MapName]: Name extends `${infer Base}_ipv4` ? Base : never;
}[MapName];

/** Runs the same tests for IPv4 and for IPv6. */
export function onBothFamilies(
  title: string,
  datapath: Datapath,
  behaviour: (on: FamilyDatapath) => void,
): void {
  for (const family of FAMILIES) {
    describe(`IPv${family}: ${title}`, () => behaviour(new FamilyDatapath(datapath, family)));
  }
}

export class FamilyDatapath {
  readonly family: Family;
  readonly datapath: Datapath;

  constructor(datapath: Datapath, family: Family) {
    this.datapath = datapath;
    this.family = family;
  }

  get address(): (typeof addresses)[4] {
    return addresses[this.family];
  }

  /** Length of the IP header. */
  get headerLength(): number {
    return this.family === 4 ? 20 : 40;
  }

  /** The family's name of a map that is there in both. */
  mapName(base: PairedMap): MapName {
    return `${base}_ipv${this.family}`;
  }

  /** A frame from outside to the host, by default to the published TCP port. */
  fromOutside(spec: Partial<PacketSpec>, options?: RunOptions): Run {
    const data = frame({
      sourceMac: mac.outside,
      destinationMac: mac.uplink,
      source: this.address.client,
      destination: this.address.host,
      sourcePort: 40000,
      destinationPort: published.tcp,
      ...spec,
    });
    return this.datapath.run("uplink_ingress", "uplink0", data, options);
  }

  /** A frame that web sends to its gateway, by default on to the internet. */
  fromWeb(spec: Partial<PacketSpec>, options?: RunOptions): Run {
    return this.#fromContainer("web", spec, options);
  }

  /** The same of db, at its own veth. */
  fromDb(spec: Partial<PacketSpec>, options?: RunOptions): Run {
    return this.#fromContainer("db", spec, options);
  }

  #fromContainer(name: "web" | "db", spec: Partial<PacketSpec>, options?: RunOptions): Run {
    const data = frame({
      sourceMac: mac[name],
      destinationMac: mac.bridge,
      source: this.address[name],
      destination: this.address.internet,
      sourcePort: 50000,
      destinationPort: 443,
      ...spec,
    });
    return this.datapath.run("endpoint_ingress", `${name}0`, data, options);
  }

  /** What the kernel delivers to web, by default from the client to the published port, as it leaves the bridge. */
  toWeb(spec: Partial<PacketSpec>, options?: RunOptions): Run {
    return this.#toContainer("web", spec, options);
  }

  /** The same to db. */
  toDb(spec: Partial<PacketSpec>, options?: RunOptions): Run {
    return this.#toContainer("db", spec, options);
  }

  #toContainer(name: "web" | "db", spec: Partial<PacketSpec>, options?: RunOptions): Run {
    const data = frame({
      sourceMac: mac.bridge,
      destinationMac: mac[name],
      source: this.address.client,
      destination: this.address[name],
      sourcePort: 40000,
      destinationPort: 80,
      ttl: 63,
      ...spec,
    });
    return this.datapath.run("endpoint_egress", `${name}0`, data, { arrivedBy: "uplink0", ...options });
  }

  /** What the kernel sends outside, by default web's answer from the published port, as it leaves the uplink. */
  toOutside(spec: Partial<PacketSpec>, options?: RunOptions): Run {
    const data = frame({
      sourceMac: mac.uplink,
      destinationMac: mac.outside,
      source: this.address.host,
      destination: this.address.client,
      sourcePort: published.tcp,
      destinationPort: 40000,
      ttl: 63,
      ...spec,
    });
    return this.datapath.run("uplink_egress", "uplink0", data, { arrivedBy: "br-app", ...options });
  }

  /** Of fromWeb(): web's answer to fromOutside()'s defaults. */
  reply<T extends Partial<PacketSpec>>(spec: T): Partial<PacketSpec> & T {
    return { sourcePort: 80, destination: this.address.client, destinationPort: 40000, ...spec };
  }

  /** Of fromOutside(): the answer to fromWeb()'s defaults, at the host's address and port. */
  answer<T extends Partial<PacketSpec>>(spec: T, port = 50000): Partial<PacketSpec> & T {
    return {
      source: this.address.internet,
      sourcePort: 443,
      destination: this.address.host,
      destinationPort: port,
      ...spec,
    };
  }

  /** The client's connection to the published TCP port, established on the fast path. */
  handshake(): void {
    this.fromOutside({ flags: tcpFlag.syn });
    this.fromWeb(this.reply({ flags: tcpFlag.syn | tcpFlag.ack }));
    this.fromOutside({ flags: tcpFlag.ack });
  }

  flows(): { key: FlowKeyIpv4; flow: FlowEntry }[] {
    return this.datapath
      .entries<FlowKeyIpv4, { flow: Flow } & Omit<FlowEntry, keyof Flow>>(this.mapName("flows"))
      .map(({ key, value: { flow, ...rest } }) => ({ key, flow: { ...flow, ...rest } }));
  }

  /** The entry of what arrives by a device; undefined when there is none. */
  flowFrom(ifindex: number): FlowEntry | undefined {
    const found = this.flows().filter(({ key }) => key.ifindex === ifindex);
    if (found.length > 1) throw new Error(`${found.length} flow entries by device ${ifindex}`);
    return found[0]?.flow;
  }

  /** Writes a changed flow entry back. */
  changeFlow(key: FlowKeyIpv4, changes: Partial<FlowEntry>): void {
    const name = this.mapName("flows");
    const { flow, ...rest } = this.datapath.read<{ flow: Flow } & Omit<FlowEntry, keyof Flow>>(name, key);
    const { saddr, daddr, nextHopFamily, nextHop, nextHopMac, ...common } = { ...flow, ...rest, ...changes };
    this.datapath.write(name, key, { flow: common, saddr, daddr, nextHopFamily, nextHop, nextHopMac });
  }

  /** As when the table was full and the entries were the coldest. */
  forgetFlows(): void {
    for (const { key } of this.flows()) this.datapath.remove(this.mapName("flows"), key);
  }

  conntrack(): ConntrackEntry[] {
    return listConntrack(this.family);
  }

  /** Does something while the route to an address has an MTU of its own; locked, else it is not for what is forwarded. */
  withRouteMtu(to: Address, device: DeviceName, mtu: number, work: () => void): void {
    const change = (end: string): void => ip(`-${this.family} route replace ${to} dev ${device}${end}`);
    change(` mtu lock ${mtu}`);
    try {
      work();
    } finally {
      change("");
    }
  }

  /** Writes web anew, with a changed part of this family, and its ports. */
  changeWeb(changes: Partial<EndpointIpv4>): void {
    const part = `ipv${this.family}` as const;
    this.datapath.putEndpoint(slot.web, {
      [part]: { ...this.datapath.endpoint(slot.web)[part], ...changes },
    });
    this.datapath.publishDefaults(this.family);
  }
}
