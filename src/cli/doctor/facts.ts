import type { ConntrackTable, FirewallState } from "../../host/state.js";
import type { PerFamily } from "../../ip.js";
import type { Mode, TrustFirewallMode } from "../../plan/types.js";

/** What dockerd's configuration says of these; undefined: nothing. */
export type Settings = Readonly<Record<string, unknown>>;

/** A dockerd of this network namespace. */
export interface EngineProcess {
  pid: number;
  /** Of daemon.json: --config-file, else Docker's own. */
  configFile: string;
  /** Where it listens, as its arguments and its configuration say: "unix:///run/docker.sock"; empty: Docker's own. */
  hosts: readonly string[];
  /** What it was told in arguments, by the names that daemon.json has for them. */
  flags: Settings;
  /** daemon.json; undefined where there is none. A text: why it can't be read. */
  json: Settings | string | undefined;
}

/** A program of somebody else's at a device that fairway is, or would be, at. */
export interface ForeignProgram {
  device: string;
  hook: "tc ingress" | "tc egress" | "XDP";
  name: string;
}

/** A device that ipvlan or macvlan networks of the engine's name as their parent. */
export interface ParentFacts {
  device: string;
  networks: readonly ParentNetwork[];
  /** Undefined: there is none of that name. */
  link: ParentLink | undefined;
}

export interface ParentNetwork {
  name: string;
  driver: "ipvlan" | "macvlan";
  /** As Docker has it: "l2", "bridge", "passthru", ... */
  mode: string;
  /** How many running containers are on it. */
  containers: number;
}

export interface ParentLink {
  up: boolean;
  carrier: boolean;
  /** As rtnetlink has it: "vlan", "macvlan", "veth", ...; undefined: hardware's, or a machine's. */
  kind: string | undefined;
  /** The bridge, bond or team that it is a port of. */
  master: string | undefined;
  /** It takes whatever it is sent (IFLA_PROMISCUITY), as the kernel makes it where a driver can't filter by several MACs. */
  promiscuous: boolean;
  /** The host has an address there. */
  addressed: boolean;
  /** What it is on: a VLAN's device. */
  lower: { device: string; up: boolean } | undefined;
  /** The kernel module of the hardware, the lower device's for a VLAN: "virtio_net"; undefined: none, or not known. */
  driver: string | undefined;
  wireless: boolean;
}

/** All that is judged; read at once, before anything is judged. */
export interface Facts {
  mode: Mode;
  trustFirewall: TrustFirewallMode;
  engine: {
    /** "unix:///var/run/docker.sock" */
    address: string;
    version?: string;
    /** Why it can't be asked: one line. */
    error?: string;
    /** What it was started with, where that was found. */
    process?: EngineProcess;
    /** Others of this network namespace. */
    others: readonly EngineProcess[];
    /** Whether any network of it has IPv6. */
    ipv6: boolean;
  };
  kernel: {
    release: string;
    btf: boolean;
    tcx: boolean;
    /** nf_nat's functions for BPF. */
    nat: boolean;
  };
  forwarding: PerFamily<boolean>;
  /** net.bridge.bridge-nf-call-iptables and -ip6tables. */
  bridged: PerFamily<boolean>;
  /** net.netfilter.nf_conntrack_tcp_be_liberal; undefined where conntrack is not there. */
  liberal: boolean | undefined;
  conntrack: ConntrackTable | undefined;
  firewall: FirewallState;
  uplinks: readonly string[];
  programs: readonly ForeignProgram[];
  /** Sorted by name. */
  parents: readonly ParentFacts[];
  /** Undefined: none runs on this state directory. */
  daemon: { pid: number; mode: Mode; state: string; warnings: number } | undefined;
  pinned: {
    /** Links and maps are there. */
    there: boolean;
    bpffs: string;
    /** The version that pinned them has other maps than this one. */
    other: boolean;
  };
}

/** A hint: nothing is known to be wrong, but where something is, this is why. */
export type Result = "ok" | "hint" | "warning" | "failure";

export interface Finding {
  /** What was looked at: "engine", "uplinks", ... */
  check: string;
  result: Result;
  /** What was found: one line. */
  what: string;
  /** Where it is not ok: why that matters, and what to do. */
  why?: string;
  remedy?: string;
}
