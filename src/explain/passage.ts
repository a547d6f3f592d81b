/** Where a packet passes programs, and as what. Pure. */
import { type Uplink, UplinkXdpFlags } from "../generated/index.js";
import type { Address } from "../ip.js";
import { parseMac } from "../ip.js";
import type { Parties, Party } from "./ends.js";
import type { EthernetEnds } from "./frame.js";
import type { HookProgram } from "./replica.js";
import { deviceName, endpointName, isOnParent, isParent, type KnownEndpoint, type World } from "./world.js";

/** A program at a device; arrivedBy: the device that the packet came in by, 0 where it is the host's own. */
export interface Hook {
  program: HookProgram;
  ifindex: number;
  arrivedBy: number;
}

export interface Passage {
  source: Address;
  destination: Address;
  ends: EthernetEnds;
  /** In the packet's order; each is only reached where the one before has let it pass. */
  hooks: Hook[];
  /** The ifindex by which flow entries of it are keyed. */
  flowsOf: number;
  /** A socket of the host's own sends it. */
  isHosts: boolean;
  /** What goes on beside fairway's programs, where it passes none. */
  beside?: string;
}

/** Locally administered, nobody's: where whose it is does not matter. */
const SOMEBODY = parseMac("02:00:00:00:00:01") ?? new Uint8Array(6);
/** RTN_LOCAL of linux/rtnetlink.h. */
const LOCAL = 2;

export function passageOf({ source, destination }: Parties, world: World): Passage {
  if (source.kind === "endpoint") return fromEndpoint(source.known, source.address, destination, world);
  const isOwn = source.kind === "host" || world.hostAddresses.has(source.address);
  return isOwn ? fromHost(source, destination, world) : fromOutside(source.address, destination, world);
}

function fromEndpoint(
  sender: KnownEndpoint,
  address: Address,
  destination: Parties["destination"],
  world: World,
): Passage {
  const { endpoint } = sender;
  const receiver = destination.kind === "endpoint" ? destination.known : undefined;
  const isNear = receiver?.endpoint.bridgeIfindex === endpoint.bridgeIfindex;
  const ends = { source: endpoint.mac, destination: isNear ? receiver.endpoint.mac : endpoint.bridgeMac };
  const passage = {
    source: address,
    destination: destination.address,
    ends,
    flowsOf: endpoint.ifindex,
    isHosts: false,
  };
  if (receiver === sender) return { ...passage, hooks: [], beside: "it stays within the container" };
  if (!isOnParent(sender)) {
    const { ifindex } = endpoint;
    return { ...passage, hooks: [{ program: "endpoint_ingress", ifindex, arrivedBy: ifindex }] };
  }
  const parent = endpoint.bridgeIfindex;
  if (isNear) {
    const beside = `the kernel's ipvlan or macvlan on ${deviceName(world, parent)} hands it over, or does not, by its mode`;
    return { ...passage, hooks: [], beside };
  }
  return { ...passage, hooks: [{ program: "parent_egress", ifindex: parent, arrivedBy: 0 }] };
}

function fromOutside(address: Address, destination: Parties["destination"], world: World): Passage {
  const oif = world.route(address)?.oif;
  const passage = {
    source: address,
    destination: destination.address,
    ends: { source: SOMEBODY, destination: macAt(oif, destination, world) },
    flowsOf: oif ?? 0,
    isHosts: false,
  };
  if (oif === undefined)
    return {
      ...passage,
      hooks: [],
      beside: `the host has no route to ${address}: answers would not come there`,
    };
  const hooks = hooksOfUplink(oif, world.uplinks.get(oif));
  if (isParent(world, oif)) hooks.push({ program: "parent_ingress", ifindex: oif, arrivedBy: oif });
  if (hooks.length > 0) return { ...passage, hooks };
  const beside = `it comes in by ${deviceName(world, oif)}, which is no uplink and no parent of fairway's`;
  return { ...passage, hooks, beside };
}

function hooksOfUplink(ifindex: number, uplink: Uplink | undefined): Hook[] {
  if (uplink === undefined) return [];
  const ingress: Hook = { program: "uplink_ingress", ifindex, arrivedBy: ifindex };
  const hasXdp = (uplink.xdp & UplinkXdpFlags.ATTACHED) !== 0;
  return hasXdp ? [{ ...ingress, program: "uplink_xdp" }, ingress] : [ingress];
}

/** Whose MAC a frame from outside has: a container's with macvlan, else the device's. A device without Ethernet has zeros. */
function macAt(ifindex: number | undefined, destination: Parties["destination"], world: World): Uint8Array {
  if (destination.kind === "endpoint" && isOnParent(destination.known)) return destination.known.endpoint.mac;
  const mac = ifindex === undefined ? undefined : world.devices.get(ifindex)?.mac;
  return (mac === undefined ? undefined : parseMac(mac)) ?? new Uint8Array(6);
}

function fromHost(source: Party, destination: Parties["destination"], world: World): Passage {
  const to = destination.address;
  const route = world.route(to);
  const from = source.address ?? route?.prefsrc ?? to;
  const passage = {
    source: from,
    destination: to,
    ends: { source: SOMEBODY, destination: SOMEBODY },
    flowsOf: 0,
    isHosts: true,
    hooks: [],
  };
  if (route === undefined) return { ...passage, beside: `the host has no route to ${to}` };
  if (route.type === LOCAL) return { ...passage, beside: "it stays within the host" };
  if (destination.kind !== "endpoint")
    return { ...passage, beside: "the host's own packets to the outside are the kernel's" };
  const { known } = destination;
  const { endpoint } = known;
  const onParent = isOnParent(known);
  if (route.oif !== endpoint.bridgeIfindex) {
    const by = route.oif === undefined ? "no device" : deviceName(world, route.oif);
    return { ...passage, beside: `the host's route to ${endpointName(known)} leads to ${by}` };
  }
  const hook: Hook = onParent
    ? { program: "parent_egress", ifindex: endpoint.bridgeIfindex, arrivedBy: 0 }
    : { program: "endpoint_egress", ifindex: endpoint.ifindex, arrivedBy: 0 };
  const ends = { source: endpoint.bridgeMac, destination: endpoint.mac };
  return { ...passage, ends, flowsOf: hook.ifindex, hooks: [hook] };
}
