/** Which of the host's changes make flow entries void. Pure but for what it is given. */
import type { NetAddress, NetEvent, NetLink } from "../native/index.js";

/** What is known of the devices when a change is judged. */
export interface DeviceKnowledge {
  /** By ifindex, as of now. */
  links: ReadonlyMap<number, NetLink>;
  /** By ifindex, as of the last reconcile: of those that are gone by now. */
  before: ReadonlyMap<number, NetLink>;
  uplinks: ReadonlySet<number>;
  /** Names of the engine's bridges. */
  engineBridges: ReadonlySet<string>;
  /** Devices whose addresses are others than they were. */
  readdressed: ReadonlySet<number>;
}

/** Names that engines give to bridges; one that was just made is not in the plan yet. */
const ENGINE_BRIDGE = /^(docker0|docker_gwbridge|br-[0-9a-f]{12})$/;

/**
 * Whether a change may send established traffic another way: routing rules; routes and addresses, unless at the
 * containers' own devices, which come and go all the time; and an uplink's state.
 */
export function voidsFlows(event: NetEvent, known: DeviceKnowledge): boolean {
  const { ifindex } = event;
  switch (event.kind) {
    case "rule":
      return true;
    case "route":
      return ifindex === undefined || !isContainerDevice(ifindex, known);
    case "address":
      return ifindex !== undefined && known.readdressed.has(ifindex) && !isContainerDevice(ifindex, known);
    case "link":
      return (
        ifindex !== undefined && known.uplinks.has(ifindex) && uplinkChanged(event, known.before.get(ifindex))
      );
    default:
      return false;
  }
}

/**
 * IFA_F_SECONDARY (of IPv6: TEMPORARY), OPTIMISTIC, DADFAILED, DEPRECATED, TENTATIVE of linux/if_addr.h: what the kernel chooses
 * a source by.
 */
const CHOICE_FLAGS = 0x01 | 0x04 | 0x08 | 0x20 | 0x40;

/** What of each device's addresses matters: not their lifetimes, which every router advertisement tells anew. */
export function addressesByDevice(addresses: NetAddress[]): Map<number, string> {
  const lines = new Map<number, string[]>();
  for (const { ifindex, address, prefixLength, scope, flags } of addresses) {
    const own = lines.get(ifindex) ?? [];
    lines.set(ifindex, own);
    own.push([address, prefixLength, scope, flags & CHOICE_FLAGS].join(" "));
  }
  // In the kernel's order, which is the one that masquerading chooses by.
  return new Map([...lines].map(([ifindex, own]) => [ifindex, own.join("\n")]));
}

/** Devices that are told differently, or by one side only. */
export function differing(
  before: ReadonlyMap<number, string>,
  now: ReadonlyMap<number, string>,
): Set<number> {
  return new Set([...before.keys(), ...now.keys()].filter((key) => before.get(key) !== now.get(key)));
}

function isContainerDevice(ifindex: number, known: DeviceKnowledge): boolean {
  if (known.uplinks.has(ifindex)) return false;
  const link = known.links.get(ifindex) ?? known.before.get(ifindex);
  // Come and gone between two looks: one end of a pair on its way into a container.
  if (link === undefined || link.kind === "veth") return true;
  return link.kind === "bridge" && (known.engineBridges.has(link.name) || ENGINE_BRIDGE.test(link.name));
}

/** IFF_UP, IFF_RUNNING, IFF_LOWER_UP of linux/if.h: whether it carries traffic. */
const STATE_FLAGS = 0x1 | 0x40 | 0x10000;

function uplinkChanged(event: NetEvent, before: NetLink | undefined): boolean {
  const now = event.link;
  if (event.action === "del" || now === undefined || before === undefined) return true;
  return (
    (now.flags & STATE_FLAGS) !== (before.flags & STATE_FLAGS) ||
    now.mtu !== before.mtu ||
    now.mac !== before.mac ||
    now.master !== before.master
  );
}
