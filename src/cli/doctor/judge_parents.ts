import { printable } from "../../text.js";
import type { Facts, Finding, ParentFacts, ParentLink } from "./facts.js";

/** Drivers of machines whose network may know one MAC for each of their devices, and how to have it let others through. */
const HYPERVISORS: Readonly<Record<string, string>> = {
  virtio_net: "KVM: nothing with a plain bridge; with macvtap <interface trustGuestRxFilters='yes'>",
  vmxnet3: "VMware: accept promiscuous mode and forged transmits, or MAC learning, at the port group",
  hv_netvsc: "Hyper-V: Set-VMNetworkAdapter -MacAddressSpoofing On",
  ena: "AWS: there is no way",
  gve: "Google Cloud: there is no way",
  xen_netfront: "Xen: nothing with a plain bridge",
};

/** Why containers on ipvlan and macvlan hear nothing, as far as their parents tell. Pure. */
export function judgeParents({ parents }: Facts): Finding[] {
  return parents.flatMap((parent) => {
    const found = parent.link === undefined ? [missing(parent)] : judgeLink(parent, parent.link);
    return found.length > 0 ? found : [fine(parent)];
  });
}

const checkOf = ({ device }: ParentFacts) => `parent ${printable(device)}`;

function namesOf({ networks }: ParentFacts): string {
  return networks.map(({ name, driver }) => `${driver} ${printable(name)}`).join(", ");
}

const uses = ({ networks }: ParentFacts, driver: "ipvlan" | "macvlan") =>
  networks.some((network) => network.driver === driver);

function fine(parent: ParentFacts): Finding {
  const { promiscuous } = parent.link ?? {};
  return {
    check: checkOf(parent),
    result: "ok",
    what: `of ${namesOf(parent)}${promiscuous ? "; it takes frames for any MAC" : ""}`,
  };
}

function missing(parent: ParentFacts): Finding {
  return {
    check: checkOf(parent),
    result: "warning",
    what: `there is no such device, and it is the parent of ${namesOf(parent)}`,
    why: "containers of these networks can't start, and those that run have lost their device with it",
    remedy:
      "bring the device back, then restart the containers; or make the networks anew with another parent",
  };
}

function judgeLink(parent: ParentFacts, link: ParentLink): Finding[] {
  const judges = [enslaved, down, drivers, nested, wireless, passthru, hypervisor, otherEnd];
  return judges.flatMap((judge) => {
    const found = judge(parent, link);
    return found === undefined ? [] : [{ check: checkOf(parent), ...found }];
  });
}

type Judged = Omit<Finding, "check"> | undefined;

function enslaved(parent: ParentFacts, { master }: ParentLink): Judged {
  if (master === undefined) return undefined;
  return {
    result: "warning",
    what: `it is a port of ${printable(master)}, which takes all that it receives`,
    why: `the kernel refuses ${namesOf(parent)} there ("device or resource busy"), or nothing arrives`,
    remedy: `make the network anew with -o parent=${printable(master)}`,
  };
}

function down(parent: ParentFacts, { up, carrier, lower }: ParentLink): Judged {
  const result = "warning";
  const why = `containers of ${namesOf(parent)} hear nothing from outside and nobody hears them`;
  if (lower !== undefined && !lower.up) {
    const device = printable(lower.device);
    return { result, what: `${device}, which it is on, is down`, why, remedy: `ip link set ${device} up` };
  }
  if (!up) return { result, what: "it is down", why, remedy: `ip link set ${printable(parent.device)} up` };
  if (carrier) return undefined;
  return {
    result,
    what: "it has no carrier",
    why,
    remedy: "look at its cable, or at what is at its other end",
  };
}

function drivers(parent: ParentFacts): Judged {
  if (!uses(parent, "ipvlan") || !uses(parent, "macvlan")) return undefined;
  return {
    result: "warning",
    what: `it is the parent of networks of both drivers: ${namesOf(parent)}`,
    why: 'the kernel has one of them at a device: containers of the other can\'t start ("device or resource busy")',
    remedy: "give one of them another parent: a VLAN of the same device, for instance",
  };
}

function nested(parent: ParentFacts, { kind }: ParentLink): Judged {
  if ((kind !== "macvlan" && kind !== "ipvlan") || !uses(parent, kind)) return undefined;
  return {
    result: "warning",
    what: `it is ${kind} itself`,
    why: `the kernel puts ${namesOf(parent)} on the device under it: fairway's programs here see nothing of it`,
    remedy: "name that device as the parent",
  };
}

function wireless(parent: ParentFacts, link: ParentLink): Judged {
  if (!link.wireless || !uses(parent, "macvlan")) return undefined;
  return {
    result: "warning",
    what: "it is wireless, and its network is macvlan",
    why: "an access point knows the MAC that has associated and no other: nothing is heard by the containers' own",
    remedy: "use ipvlan, whose containers go by the parent's MAC",
  };
}

function passthru({ networks, device }: ParentFacts, { addressed }: ParentLink): Judged {
  const network = networks.find(({ mode, containers }) => mode === "passthru" && containers > 0);
  if (network === undefined || !addressed) return undefined;
  return {
    result: "warning",
    what: `it has addresses of the host's, and is ${printable(network.name)}'s in mode passthru`,
    why: "all that it receives goes to the one container there: the host itself hears nothing by it",
    remedy: `use mode bridge, or a device without addresses in place of ${printable(device)}`,
  };
}

function hypervisor(parent: ParentFacts, { driver = "" }: ParentLink): Judged {
  const remedy = Object.hasOwn(HYPERVISORS, driver) ? HYPERVISORS[driver] : undefined;
  if (remedy === undefined || !uses(parent, "macvlan")) return undefined;
  return {
    result: "hint",
    what: `it is a virtual machine's (${driver}), and its network is macvlan`,
    why: "a hypervisor may let in only what is for the MAC that it gave: then the containers hear nothing but broadcasts",
    remedy: `if they do hear nothing: ${remedy}; or use ipvlan, whose containers go by the parent's MAC`,
  };
}

function otherEnd(parent: ParentFacts, { kind }: ParentLink): Judged {
  if (kind !== "veth" || !uses(parent, "macvlan")) return undefined;
  return {
    result: "hint",
    what: "it is one end of a veth pair, and its network is macvlan",
    why: "where what is at the other end knows one MAC for it (a port with learning off, or a rule), the containers hear nothing",
    remedy: "if they do hear nothing: look there; or use ipvlan, whose containers go by the parent's MAC",
  };
}
