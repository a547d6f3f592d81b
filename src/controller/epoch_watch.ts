/** Which of the host's changes make flow entries void. Pure but for what it is given. */
import type { NetEvent, NetLink } from "../native/index.js";

/** What is known of the devices when a change is judged. */
export interface DeviceKnowledge {
  /** By ifindex, as of now. */
  links: ReadonlyMap<number, NetLink>;
  /** By ifindex, as of the last reconcile: of those that are gone by now. */
  before: ReadonlyMap<number, NetLink>;
  uplinks: ReadonlySet<number>;
  /** Names of the engine's bridges. */
  engineBridges: ReadonlySet<string>;
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
    case "address":
      return ifindex === undefined || !isContainerDevice(ifindex, known);
    case "link":
      return (
        ifindex !== undefined && known.uplinks.has(ifindex) && uplinkChanged(event, known.before.get(ifindex))
      );
    default:
      return false;
  }
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
