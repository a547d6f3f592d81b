import { readFileSync, statSync } from "node:fs";
import type { Logger } from "pino";
import { errorCode, errorMessage } from "../errors.js";
import type { ProgramName } from "../generated/index.js";
import { parseAddress } from "../ip.js";
import { BpfLink, type BpfProgram, redialUdp } from "../native/index.js";
import type { Plan } from "../plan/types.js";
import type { Maps } from "./maps.js";
import { type Pins, unpin } from "./pins.js";
import type { PlacedEndpoint } from "./slots.js";

/** The programs at socket calls and libbpf's names of the calls. What tells of a dial comes before what dials. */
const CALLS = {
  host_recvmsg_ipv4: "udp4_recvmsg",
  host_recvmsg_ipv6: "udp6_recvmsg",
  host_getpeername_ipv4: "inet4_getpeername",
  host_getpeername_ipv6: "inet6_getpeername",
  host_getsockname_ipv4: "inet4_getsockname",
  host_getsockname_ipv6: "inet6_getsockname",
  host_sendmsg_ipv4: "udp4_sendmsg",
  host_sendmsg_ipv6: "udp6_sendmsg",
  host_connect_ipv4: "inet4_connect",
  host_connect_ipv6: "inet6_connect",
} as const satisfies Partial<Record<ProgramName, string>>;

type Call = keyof typeof CALLS;
const calls = Object.keys(CALLS) as Call[];

/** The inode of the root of the cgroup2 tree, whoever looks: CGROUP_ROOT's id (kernel/cgroup/cgroup.c). */
const ROOT_INODE = 1;

/** Whether a link's pin is one of these. */
export function isHostSocketPin(name: string): boolean {
  return name.startsWith("host_");
}

/**
 * Where cgroup2 is mounted: at /sys/fs/cgroup, or beside the old hierarchies below it. Pure.
 * @param mounts as /proc/mounts prints it
 */
export function cgroupMounts(mounts: string): string[] {
  return mounts.split("\n").flatMap((line) => {
    const [, path, type] = line.split(" ");
    // Space, tab, newline and backslash are octal there.
    return type === "cgroup2" && path !== undefined
      ? [path.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)))]
      : [];
  });
}

/** The mount of cgroup2 whose root is that of all processes; undefined where there is none. */
export function findRootCgroup(mounts = readFileSync("/proc/mounts", "utf8")): string | undefined {
  return cgroupMounts(mounts).find((path) => {
    try {
      return statSync(path).ino === ROOT_INODE;
    } catch {
      return false;
    }
  });
}

/** Programs and maps that this needs. */
export interface HostSocketParts {
  programs: Readonly<Record<Call, BpfProgram>>;
  maps: Pick<Maps, "host_devices" | "host_streams" | "endpoints">;
}

/**
 * The programs at the socket calls of all processes, attached at the root of the cgroup tree by links that are pinned under their
 * names and outlive the daemon. They stay from the first published port on until they are switched off: sockets that were led
 * need them for as long as they live.
 */
export class HostSockets {
  readonly #links = new Map<Call, BpfLink>();
  #devices: ReadonlySet<number> = new Set();
  /** What they are those of, where the kernel knows all of them. */
  #knownOf: { plan: Plan; placed: readonly PlacedEndpoint[] } | undefined;
  /** Why it can't be, as it was told. */
  #obstacle: string | undefined;

  constructor(
    private readonly pins: Pins,
    private readonly parts: HostSocketParts,
    private readonly log: Logger,
    private readonly findRoot: () => string | undefined = findRootCgroup,
  ) {
    for (const name of pins.list(pins.links)) if (isHostSocketPin(name)) this.#adopt(name);
  }

  #adopt(name: string): void {
    const path = this.pins.link(name);
    const call = calls.find((one) => one === name);
    if (call === undefined) {
      this.log.warn({ path }, "unknown pin left alone");
      return;
    }
    const link = BpfLink.openPinned(path);
    link.update(this.parts.programs[call]);
    this.#links.set(call, link);
  }

  /** Whether all are attached. */
  get attached(): boolean {
    return calls.every((call) => this.#links.has(call));
  }

  /** Why they are not attached though they are wanted; undefined: nothing is in the way. */
  get obstacle(): string | undefined {
    return this.#obstacle;
  }

  /** Lets the kernel know the devices of the endpoints that are led to; before the ports that lead there are written. */
  knowDevices(plan: Plan, placed: readonly PlacedEndpoint[]): void {
    if (this.#knownOf?.plan === plan && this.#knownOf.placed === placed) return;
    const leading = new Set(plan.hostPorts.map((port) => port.endpointId));
    const devices = new Set(
      placed.flatMap(({ planned }) => (leading.has(planned.endpointId) ? planned.ifindex : [])),
    );
    const map = this.parts.maps.host_devices;
    for (const ifindex of this.#devices)
      if (!devices.has(ifindex)) map.kernel.delete(map.key.encode(ifindex));
    const known = new Set<number>();
    for (const ifindex of devices) {
      try {
        if (!this.#devices.has(ifindex)) map.set(ifindex, ifindex);
        known.add(ifindex);
      } catch (error) {
        // Gone by now (EINVAL: no such device): its event brings the next pass.
        if (!["EINVAL", "ENODEV"].includes(errorCode(error) ?? "")) throw error;
      }
    }
    this.#devices = known;
    this.#knownOf = known.size === devices.size ? { plan, placed } : undefined;
  }

  /** Attaches, or detaches. Where it is not possible the ports stay on the engine's own way. */
  reconcile(plan: Plan): { added: number; removed: number } {
    if (!plan.hostSockets) {
      this.#obstacle = undefined;
      return { added: 0, removed: this.#detach() };
    }
    if (plan.hostPorts.length === 0 || this.attached) return { added: 0, removed: 0 };
    const root = this.findRoot();
    if (root === undefined) {
      this.#tell("the root of the cgroup2 tree is not mounted here");
      return { added: 0, removed: 0 };
    }
    let added = 0;
    try {
      for (const call of calls) {
        if (this.#links.has(call)) continue;
        this.#attach(call, root);
        added++;
      }
    } catch (error) {
      this.#tell(errorMessage(error));
      return { added: 0, removed: this.#detach() };
    }
    this.#obstacle = undefined;
    this.log.info({ cgroup: root }, "attached to the host's socket calls");
    return { added, removed: 0 };
  }

  #attach(call: Call, path: string): void {
    const link = this.parts.programs[call].attachCgroup({ path, type: CALLS[call] });
    try {
      unpin(this.pins.link(call));
      link.pin(this.pins.link(call));
    } catch (error) {
      link.close();
      throw error;
    }
    this.#links.set(call, link);
  }

  #detach(): number {
    const attached = this.#links.size;
    // What dials goes first.
    for (const call of [...calls].reverse()) {
      unpin(this.pins.link(call));
      this.#links.get(call)?.close();
      this.#links.delete(call);
    }
    return attached;
  }

  #tell(obstacle: string): void {
    if (this.#obstacle !== obstacle)
      this.log.warn({ error: obstacle }, "host processes reach published ports by the engine's own way");
    this.#obstacle = obstacle;
  }

  /**
   * UDP sockets that are connected to containers which are gone: they are connected anew to what they dialled, so that they reach
   * whoever is published there now, or nobody as with the engine alone; never another container that got the address.
   * @returns how many
   */
  redialStale(): number {
    const { host_streams: streams, endpoints } = this.parts.maps;
    const stale = [...streams.entries(1024)].filter(
      ({ value }) => endpoints.get(value.slot)?.generation !== value.generation,
    );
    let redialled = 0;
    for (const { key: cookie, value } of stale) {
      // Before it dials, since that makes an entry anew.
      streams.kernel.delete(streams.key.encode(cookie));
      const address = parseAddress(value.address) ?? new Uint8Array(16);
      try {
        if (redialUdp({ pid: value.pid, cookie, address, port: value.port })) redialled++;
      } catch (error) {
        this.log.debug(
          { pid: value.pid, error: errorMessage(error) },
          "a UDP socket could not be dialled again",
        );
      }
    }
    if (redialled > 0) this.log.debug({ sockets: redialled }, "UDP sockets of gone containers dialled again");
    return redialled;
  }

  /** Lets go; what is pinned stays attached. */
  close(): void {
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
  }
}
