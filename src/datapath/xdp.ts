import { readFileSync } from "node:fs";
import type { Logger } from "pino";
import { errorCode, errorMessage } from "../errors.js";
import { UplinkXdpFlags } from "../generated/index.js";
import { BpfLink, type BpfProgram } from "../native/index.js";
import type { PlannedXdp } from "../plan/policy_types.js";
import type { Maps } from "./maps.js";
import { type Pins, unpin } from "./pins.js";
import { givePlace } from "./xdp_counters.js";

const PROGRAM = "uplink_xdp";

/** Whether a link's pin is one of these. */
export function isXdpPin(name: string): boolean {
  return name.startsWith(`${PROGRAM}-`);
}

/**
 * uplink_xdp at the uplinks: links pinned as "uplink_xdp-<ifindex>" that outlive the daemon. In the driver only: the kernel's
 * generic mode copies every packet into one piece and costs more than it spares. Where a driver refuses, tc judges alone.
 */
export class XdpLinks {
  readonly #links = new Map<number, BpfLink>();
  /** Devices whose driver has refused, with what they were like then: it is not asked again while nothing has changed. */
  readonly #refused = new Map<number, string>();
  #wanted: readonly PlannedXdp[] = [];

  constructor(
    private readonly pins: Pins,
    private readonly program: BpfProgram,
    private readonly maps: Pick<Maps, "uplinks" | "xdp_counters">,
    private readonly log: Logger,
  ) {
    for (const name of pins.list(pins.links)) if (isXdpPin(name)) this.#adopt(name);
  }

  #adopt(name: string): void {
    const ifindex = Number(name.slice(PROGRAM.length + 1));
    const link = BpfLink.openPinned(this.pins.link(name));
    if (link.info.ifindex === ifindex) {
      link.update(this.program);
      this.#links.set(ifindex, link);
      return;
    }
    link.close();
    unpin(this.pins.link(name));
  }

  /**
   * What struct uplink's xdp is to be, by ifindex: of those where it is attached and wanted, and of the uplinks on top of them. For others it is
   * 0, and must be so before {@link reconcile} detaches.
   */
  flags(wanted: readonly PlannedXdp[]): Map<number, number> {
    const flags = new Map<number, number>();
    for (const uplink of wanted) {
      if (!this.#isAttached(uplink.ifindex)) continue;
      const own = uplink.ownSources || acceptsLocal(uplink.name) ? UplinkXdpFlags.OWN_SOURCES : 0;
      flags.set(uplink.ifindex, UplinkXdpFlags.ATTACHED | own);
      for (const above of uplink.above) flags.set(above, flags.get(above) ?? UplinkXdpFlags.ATTACHED);
    }
    return flags;
  }

  /** Attaches and detaches, and marks the uplinks where it is attached now. */
  reconcile(wanted: readonly PlannedXdp[]): { added: number; removed: number } {
    let [added, removed] = [0, 0];
    this.#wanted = wanted;
    for (const ifindex of [...this.#links.keys()]) {
      if (wanted.some((w) => w.ifindex === ifindex) && this.#isAttached(ifindex)) continue;
      this.#detach(ifindex);
      removed++;
    }
    for (const ifindex of this.#refused.keys()) {
      if (!wanted.some((w) => w.ifindex === ifindex)) this.#refused.delete(ifindex);
    }
    for (const uplink of wanted) if (!this.#links.has(uplink.ifindex) && this.#attach(uplink)) added++;
    if (added > 0) {
      for (const [ifindex, xdp] of this.flags(wanted)) {
        const uplink = this.maps.uplinks.get(ifindex);
        if (uplink !== undefined && uplink.xdp !== xdp) this.maps.uplinks.set(ifindex, { ...uplink, xdp });
      }
    }
    return { added, removed };
  }

  /** Where it is attached now, of what the last {@link reconcile} wanted. */
  attached(): { ifindex: number; name: string }[] {
    return this.#wanted.filter(({ ifindex }) => this.#isAttached(ifindex));
  }

  #isAttached(ifindex: number): boolean {
    return this.#links.get(ifindex)?.info.ifindex === ifindex;
  }

  #attach({ ifindex, name, mtu }: PlannedXdp): boolean {
    const state = `${name} ${mtu}`;
    if (this.#refused.get(ifindex) === state) return false;
    if (!givePlace(this.maps, ifindex, new Set(this.#links.keys())))
      this.log.warn(
        { uplink: name },
        "no room for what XDP counts at this uplink: it is counted by reason alone",
      );
    let link: BpfLink;
    try {
      link = this.program.attachXdp({ ifindex, mode: "native" }).link;
    } catch (error) {
      if (errorCode(error) === "ENODEV") return false;
      // Another program may go one day; what a driver can't it can't.
      if (errorCode(error) !== "EBUSY" || !this.#refused.has(ifindex)) {
        this.log.warn(
          { uplink: name, error: errorMessage(error) },
          "XDP is not possible at this uplink: policies are enforced at tc alone",
        );
      }
      this.#refused.set(ifindex, errorCode(error) === "EBUSY" ? "busy" : state);
      return false;
    }
    const path = this.pins.link(`${PROGRAM}-${ifindex}`);
    try {
      unpin(path);
      link.pin(path);
    } catch (error) {
      link.close();
      throw error;
    }
    this.#refused.delete(ifindex);
    this.#links.set(ifindex, link);
    this.log.info({ uplink: name }, "XDP attached");
    return true;
  }

  #detach(ifindex: number): void {
    const link = this.#links.get(ifindex);
    this.#links.delete(ifindex);
    unpin(this.pins.link(`${PROGRAM}-${ifindex}`));
    link?.close();
  }

  /** Lets go; what is pinned stays attached. */
  close(): void {
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
  }
}

/** net.ipv4.conf.*.accept_local: the host takes packets from its own addresses. The greater of both holds. */
function acceptsLocal(device: string): boolean {
  return ["all", device].some((name) => {
    try {
      return readFileSync(`/proc/sys/net/ipv4/conf/${name}/accept_local`, "utf8").trim() !== "0";
    } catch {
      return false;
    }
  });
}
