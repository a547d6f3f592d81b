/** A container on ipvlan, on the test host's uplink, in one family. */
import { parentFilter } from "../../../src/datapath/parent_filter.js";
import {
  type Endpoint,
  EndpointFlags,
  EndpointIpFlags,
  EndpointIpParentFlags,
  EndpointParentFlags,
  ParentSubnetFlags,
} from "../../../src/generated/types.js";
import { type Address, ANY, FAMILIES, type Family, parseAddress, parseMac } from "../../../src/ip.js";
import type { Datapath, Run, RunOptions } from "./datapath.js";
import { FamilyDatapath } from "./family.js";
import { mac } from "./host.js";
import { canSum } from "./kernel.js";
import { checksum, frame, ipPacket, type PacketSpec, protocolNumber } from "./packet.js";

/** The slots of two containers on the parent. */
export const childSlot = { one: 3, two: 4 } as const;
/** Their addresses. */
export const child = {
  4: { one: "192.168.0.10", two: "192.168.0.11" },
  6: { one: "2001:db8:a0::10", two: "2001:db8:a0::11" },
} as const;
/** PARENT_CHILD of bpf/lib/types.h. */
const PARENT_CHILD = 0x80000000;

/** What may differ between them. */
export interface ChildChanges {
  /** Its ENDPOINT_HOST; default true. */
  host?: boolean;
  masquerade?: boolean;
  published?: boolean;
  parent?: number;
  /** Its network's number where that is routed. */
  route?: number;
  announce?: boolean;
  mtu?: number;
  /** Instead of its own in the test's family, and in the other. */
  address?: Address;
  otherAddress?: Address;
  /** On macvlan, in mode bridge or another: with a MAC of its own, childMac. */
  macvlan?: "bridge" | "private";
}

/** The MACs that they have on macvlan. */
export const childMac = { one: "02:42:0a:00:00:01", two: "02:42:0a:00:00:02" } as const;

export class OnParent extends FamilyDatapath {
  readonly child: { one: Address; two: Address };

  constructor(datapath: Datapath, family: Family) {
    super(datapath, family);
    this.child = child[family];
  }

  /** Puts a container there; see ChildChanges. */
  put(name: "one" | "two" = "one", changes: ChildChanges = {}): Endpoint {
    const { host = true, masquerade = false, published = false, macvlan } = changes;
    const { route, announce = false } = changes;
    const addressIn = (family: Family) =>
      (family === this.family ? changes.address : changes.otherAddress) ?? child[family][name];
    const parent = changes.parent ?? this.datapath.device.uplink0;
    const flags =
      (masquerade ? EndpointIpFlags.MASQUERADE : 0) | (announce ? EndpointIpParentFlags.ANNOUNCE : 0);
    const endpoint = this.datapath.putEndpoint(childSlot[name], {
      ifindex: PARENT_CHILD + parent,
      bridgeIfindex: parent,
      network: route ?? 0,
      mtu: changes.mtu ?? 1500,
      flags:
        EndpointFlags.PARENT |
        (host ? EndpointFlags.HOST : 0) |
        (masquerade || published ? EndpointFlags.TRANSLATED : 0) |
        (route === undefined ? 0 : EndpointParentFlags.ROUTE) |
        (macvlan === "bridge" ? EndpointFlags.SIBLINGS : 0),
      mac: parseMac(macvlan === undefined ? mac.uplink : childMac[name]) ?? new Uint8Array(6),
      bridgeMac: parseMac(mac.uplink) ?? new Uint8Array(6),
      ipv4: { address: addressIn(4), snatAddress: ANY[4], flags },
      ipv6: { address: addressIn(6), snatAddress: ANY[6], flags },
    });
    this.#writeFilter();
    return endpoint;
  }

  /** Puts a subnet of a routed network's there, by its number; its router is the host. */
  putSubnet(
    network: Address,
    prefixLength: number,
    number: number,
    flags: number = ParentSubnetFlags.OWN,
  ): void {
    const router = this.address.host;
    this.datapath.write(
      this.mapName("parent_subnets"),
      { prefixLength, network },
      { network: number, flags, router },
    );
    this.#writeFilter();
  }

  /** As the control plane writes it, of what the other maps hold. */
  #writeFilter(): void {
    const endpoints = this.datapath
      .entries<Address, { slot: number }>("endpoint_addresses_ipv4")
      .map(({ value: { slot } }) => ({ slot, endpoint: this.datapath.endpoint(slot) }));
    const hosts = FAMILIES.flatMap((family) =>
      this.datapath.entries<Address, number>(`host_addresses_ipv${family}`).map(({ key }) => key),
    );
    const subnets = FAMILIES.flatMap((family) =>
      this.datapath
        .entries<{ prefixLength: number; network: Address }, unknown>(`parent_subnets_ipv${family}`)
        .map(({ key: { network, prefixLength } }) => `${network}/${prefixLength}`),
    );
    this.datapath.write("parent_filter", 0, parentFilter(endpoints, hosts, subnets));
  }

  /** What leaves by the parent: of the host's own unless told otherwise. */
  leaves(spec: Partial<PacketSpec>, options: RunOptions = {}): Run {
    return this.leavesAs(
      frame({
        sourceMac: mac.uplink,
        destinationMac: mac.outside,
        source: this.address.host,
        destination: this.child.one,
        sourcePort: 40000,
        destinationPort: 80,
        ...spec,
      }),
      options,
    );
  }

  /** The same of any frame. */
  leavesAs(data: Buffer, options: RunOptions = {}): Run {
    return this.datapath.run("parent_egress", "uplink0", data, { arrivedBy: null, ...options });
  }

  /** What the first container sends, by default to the internet. */
  sends(spec: Partial<PacketSpec>, options: RunOptions = {}): Run {
    return this.leaves(
      {
        source: this.child.one,
        destination: this.address.internet,
        sourcePort: 50000,
        destinationPort: 443,
        ...spec,
      },
      options,
    );
  }

  /** What comes in at the parent, by default for the host; where the kernel can, with a NIC's sum of all of it. */
  arrives(spec: Partial<PacketSpec>): Run {
    const data = frame({
      sourceMac: mac.outside,
      destinationMac: mac.uplink,
      source: this.address.internet,
      destination: this.address.host,
      ...spec,
    });
    return this.datapath.run("parent_ingress", "uplink0", data, { checksumComplete: canSum });
  }

  /** ICMP echo as a frame's specification: type and identifier. */
  echo(type: "request" | "reply", id: number): Partial<PacketSpec> {
    const [request, reply] = this.family === 4 ? [8, 0] : [128, 129];
    return this.icmp(
      type === "request" ? request : reply,
      Buffer.from([id >> 8, id & 0xff, 0, 1, 1, 2, 3, 4]),
    );
  }

  /** An ICMP error about a packet: its type, and what it is about. */
  error(type: number, about: PacketSpec): Partial<PacketSpec> {
    const packet = ipPacket(about).subarray(0, this.headerLength + 8);
    return this.icmp(type, Buffer.concat([Buffer.alloc(4), packet]));
  }

  /** An ICMP message by its type and what comes after the checksum. Its checksum is written by sealed(). */
  icmp(type: number, rest: Buffer): Partial<PacketSpec> {
    const message = Buffer.concat([Buffer.from([type, 0, 0, 0]), rest]);
    return { protocol: this.family === 4 ? protocolNumber.icmp : protocolNumber.icmpv6, payload: message };
  }

  /** Writes the checksum of the ICMP message of a specification that is whole otherwise. */
  sealed(spec: Partial<PacketSpec> & Pick<PacketSpec, "source" | "destination">): typeof spec {
    const payload = Buffer.from(spec.payload ?? []);
    payload.writeUInt16BE(0, 2);
    payload.writeUInt16BE(this.icmpChecksum(spec.source, spec.destination, payload), 2);
    return { ...spec, payload };
  }

  /** What the checksum of an ICMP message lacks: 0 where it is right. */
  icmpChecksum(source: Address, destination: Address, message: Buffer): number {
    if (this.family === 4) return checksum(message);
    const rest = Buffer.from([
      0,
      0,
      message.length >> 8,
      message.length & 0xff,
      0,
      0,
      0,
      protocolNumber.icmpv6,
    ]);
    const bytes = (address: Address) => parseAddress(address) ?? new Uint8Array();
    return checksum(bytes(source), bytes(destination), rest, message);
  }

  /** The ICMP message of a frame as it is after a run. */
  messageOf(run: Run): Buffer {
    return run.bytes.subarray(14 + this.headerLength);
  }
}
