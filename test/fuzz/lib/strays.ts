// Packets that belong to no connection.

import { outsider } from "./ends.js";
import {
  addressBytes,
  type Ends,
  ethernet,
  flag,
  frame,
  icmp,
  macBytes,
  type Payload,
  tcp,
  udp,
} from "./frame.js";
import { ordinaryIp } from "./packets.js";
import type { Random } from "./random.js";
import type { FrameStep } from "./script.js";
import type { Flow } from "./udp_flow.js";
import { type Container, containers, type Family, gateway, host, neighbour, remote } from "./world.js";

/** A packet that nobody asked for. */
export function stray(random: Random, family: Family, _flow: Flow): FrameStep {
  const from = random.chance(0.5) ? random.pick(containers) : undefined;
  const kind = random.weighted([
    [3, spoofed],
    [3, martian],
    [3, toEverybody],
    [2, otherProtocol],
    [1, otherEtherType],
    [2, arp],
    [2, toPort],
  ] as const);
  const { note, bytes } = kind(random, family, from);
  // Of TCP, it fits no connection that it may happen to meet.
  return { kind: "frame", from: from?.place ?? "outside", frame: bytes, odd: "tcp", note: `stray: ${note}` };
}

interface Stray {
  readonly note: string;
  readonly bytes: Uint8Array;
}

/** Ordinary ends of a packet to the host or through it. */
function ends(random: Random, family: Family, from: Container | undefined): Ends {
  const out = outsider(random, family);
  const containerAddress = random.pick(containers).addresses[family];
  if (from)
    return {
      family,
      sourceMac: from.mac,
      destinationMac: from.network.mac,
      source: from.addresses[family],
      destination: random.pick([
        out.address,
        random.pick(host.addresses[family]),
        from.network.gateway[family],
        containerAddress,
      ]),
    };
  return {
    family,
    sourceMac: out.mac,
    destinationMac: host.mac,
    source: out.address,
    destination: random.pick([
      random.pick(host.addresses[family]),
      containerAddress,
      random.pick(remote[family]),
    ]),
  };
}

const ports = [80, 53, 8080, 8082, 5353, 9000, 9003, 9004, 40001, 65535, 0];

function anything(random: Random, ends: Ends): Payload {
  const sport = random.pick([40001, 40002, 53, 0, random.below(65536)]);
  const dport = random.pick(ports);
  return random.weighted<() => Payload>([
    [
      4,
      () =>
        tcp(ends, {
          sport,
          dport,
          seq: random.u32(),
          ack: random.u32(),
          flags: random.pick([flag.syn, flag.ack, flag.rst, flag.syn | flag.ack, flag.fin | flag.ack]),
        }),
    ],
    [4, () => udp(ends, { sport, dport, payload: random.bytes(random.below(60)) })],
    [
      1,
      () =>
        icmp(ends, {
          type: ends.family === 4 ? random.pick([8, 0, 15, 17, 3]) : random.pick([128, 129, 1]),
          code: 0,
          rest: [sport, 1],
          payload: random.bytes(20),
        }),
    ],
  ])();
}

const packet = (random: Random, ends: Ends, payload = anything(random, ends)): Uint8Array =>
  frame(ends, ordinaryIp(random, ends.family, random.below(65536)), payload);

/** The source is somebody else's. */
function spoofed(random: Random, family: Family, from: Container | undefined): Stray {
  const source = random.pick([
    random.pick(containers).addresses[family],
    random.pick(host.addresses[family]),
    random.pick(remote[family]),
    gateway.addresses[family],
    random.pick(containers).network.gateway[family],
  ]);
  const one = { ...ends(random, family, from), source };
  return { note: `source ${source}`, bytes: packet(random, one) };
}

const martians = {
  4: ["127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "169.254.1.1", "240.0.0.1", "198.18.2.255"],
  6: ["::1", "::", "ff02::1", "fe80::1", "::ffff:c612:202"],
} as const;

function martian(random: Random, family: Family, from: Container | undefined): Stray {
  const plain = ends(random, family, from);
  const odd = random.pick(martians[family]);
  const one = random.chance(0.5) ? { ...plain, source: odd } : { ...plain, destination: odd };
  return { note: `${one.source} to ${one.destination}`, bytes: packet(random, one) };
}

function toEverybody(random: Random, family: Family, from: Container | undefined): Stray {
  const plain = ends(random, family, from);
  const [destination, destinationMac] = random.pick<readonly [string, string]>(
    family === 4
      ? [
          ["255.255.255.255", "ff:ff:ff:ff:ff:ff"],
          ["224.0.0.251", "01:00:5e:00:00:fb"],
          ["239.1.2.3", "01:00:5e:01:02:03"],
          ["198.18.2.255", "ff:ff:ff:ff:ff:ff"],
          ["172.30.1.255", "ff:ff:ff:ff:ff:ff"],
          [plain.destination, "ff:ff:ff:ff:ff:ff"],
        ]
      : [
          ["ff02::1", "33:33:00:00:00:01"],
          ["ff02::fb", "33:33:00:00:00:fb"],
          ["ff05::1:3", "33:33:00:01:00:03"],
          [plain.destination, "33:33:00:00:00:01"],
        ],
  );
  const one = { ...plain, destination, destinationMac };
  return { note: `to ${destination} at ${destinationMac}`, bytes: packet(random, one) };
}

function otherProtocol(random: Random, family: Family, from: Container | undefined): Stray {
  const one = ends(random, family, from);
  const number = random.pick([0, 2, 4, 33, 41, 47, 50, 51, 89, 132, 136, 255]);
  const bytes = packet(random, one, { number, bytes: random.bytes(random.between(0, 60)) });
  return { note: `protocol ${number} to ${one.destination}`, bytes };
}

function otherEtherType(random: Random, _family: Family, from: Container | undefined): Stray {
  const type = random.pick([0x88b5, 0x88cc, 0x8847, 0x0020, 0x8863, 0x888e]);
  const source = from?.mac ?? gateway.mac;
  const destination = random.pick([from?.network.mac ?? host.mac, "ff:ff:ff:ff:ff:ff", "01:80:c2:00:00:0e"]);
  return {
    note: `ethertype ${type.toString(16)} to ${destination}`,
    bytes: ethernet(destination, source, type, random.bytes(random.between(0, 60))),
  };
}

/** Who has..., and the answers of those who are known for good. */
function arp(random: Random, _family: Family, from: Container | undefined): Stray {
  const others = from && containers.filter((one) => one.network === from.network && one !== from);
  const source = from
    ? { mac: from.mac, address: from.addresses[4] }
    : random.pick([outside.gateway, outside.neighbour]);
  const target = from
    ? random.pick([from.network.gateway[4], ...(others ?? []).map((one) => one.addresses[4])])
    : random.pick([...host.addresses[4], "172.30.1.11", "198.18.2.77"]);
  const body = new Uint8Array(46);
  body.set([0, 1, 8, 0, 6, 4, 0, 1]);
  body.set(macBytes(source.mac), 8);
  body.set(addressBytes(source.address), 14);
  body.set(addressBytes(target), 24);
  return { note: `ARP who has ${target}`, bytes: ethernet("ff:ff:ff:ff:ff:ff", source.mac, 0x0806, body) };
}

const outside = {
  gateway: { mac: gateway.mac, address: gateway.addresses[4] },
  neighbour: { mac: neighbour.mac, address: neighbour.addresses[4] },
};

function toPort(random: Random, family: Family, from: Container | undefined): Stray {
  const one = ends(random, family, from);
  return { note: `to ${one.destination}`, bytes: packet(random, one) };
}
