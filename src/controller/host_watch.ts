import { HostLists } from "../host/host_lists.js";
import { LONGEST_DEFAULT_PREFIX } from "../host/routes.js";
import type { HostState } from "../host/state.js";
import { type NetEvent, type NetLink, NetMonitor } from "../native/index.js";
import type { Plan } from "../plan/types.js";
import { addressesByDevice, type DeviceKnowledge, differing, voidsFlows } from "./epoch_watch.js";

export interface HostWatchCallbacks {
  /** Devices of endpoints that are gone; called within the kernel's notification. */
  gone(ifindexes: ReadonlySet<number>): void;
  /** Something that the plan is made of may have changed. */
  changed(urgent: boolean): void;
  /** Established traffic may have to go another way. */
  voided(why: string): void;
}

/** A burst of changes voids the flows once, but within a second. */
const QUIET_MS = 100;
const MOST_MS = 1_000;

function isDefaultRoute({ kind, prefixLength = 0 }: NetEvent): boolean {
  return kind === "route" && prefixLength <= Math.max(...Object.values(LONGEST_DEFAULT_PREFIX));
}

/** Watches the host by netlink. */
export class HostWatch {
  readonly #monitor: NetMonitor;
  /** What the last reconcile saw and planned: the same objects as long as they say the same. */
  #links: readonly NetLink[] = [];
  #plan: Plan | undefined;
  #before: ReadonlyMap<number, NetLink> = new Map();
  #uplinks: ReadonlySet<number> = new Set();
  #endpoints: ReadonlySet<number> = new Set();
  #engineBridges: ReadonlySet<string> = new Set();
  /** As of the last judgement, for reconciling is faster. */
  #addresses: ReadonlyMap<number, string>;
  #pending: NetEvent[] = [];
  /** An uplink's change, judged when it came: by the time of judging, the new state is what is known. */
  #certain: NetEvent | undefined;
  #pendingSince = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param lists is told of all that changes */
  constructor(
    private readonly callbacks: HostWatchCallbacks,
    private readonly lists = new HostLists(),
  ) {
    this.#monitor = new NetMonitor(
      ["link", "address", "route", "rule"],
      (events) => this.#onEvents(events),
      () => this.#onLost(),
    );
    this.#addresses = addressesByDevice(lists.addresses());
  }

  /** What the last reconcile saw and planned: what changes are judged by. */
  know({ links }: Pick<HostState, "links">, plan: Plan, engineBridges: ReadonlySet<string>): void {
    if (links !== this.#links) this.#before = new Map(links.map((l) => [l.ifindex, l]));
    if (plan !== this.#plan) {
      this.#uplinks = new Set(plan.uplinks.map((u) => u.ifindex));
      this.#endpoints = new Set(plan.endpoints.map((e) => e.ifindex));
    }
    this.#links = links;
    this.#plan = plan;
    this.#engineBridges = engineBridges;
  }

  /** Takes notice of what has happened until now. */
  poll(): void {
    this.#monitor.poll();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#monitor.close();
  }

  #onEvents(events: NetEvent[]): void {
    this.lists.note(events);
    const gone = new Set<number>();
    let changed = false;
    for (const event of events) {
      if (event.kind === "link" && event.action === "del" && event.ifindex !== undefined)
        gone.add(event.ifindex);
      if (event.kind === "link" && this.#linkMatters(event)) changed = true;
      // Default routes tell uplinks; others, which may come by the thousand, only void flows.
      if (event.kind === "address" || isDefaultRoute(event)) changed = true;
    }
    if (gone.size > 0) this.callbacks.gone(gone);
    if (changed) this.callbacks.changed([...gone].some((ifindex) => this.#endpoints.has(ifindex)));
    this.#judgeLater(events);
  }

  /** Devices tell of themselves without having changed in anything that the plan is made of. */
  #linkMatters(event: NetEvent): boolean {
    const before = this.#before.get(event.ifindex ?? -1);
    const now = event.link;
    if (event.action === "del") return before !== undefined;
    if (now === undefined || before === undefined) return true;
    const fields = ["name", "kind", "flags", "mtu", "mac", "master", "linkNetnsid", "hairpin"] as const;
    return fields.some((field) => now[field] !== before[field]);
  }

  #onLost(): void {
    this.lists.forget();
    this.callbacks.changed(true);
    this.callbacks.voided("changes were lost");
  }

  /** Judged when things have settled: a device that was just made is in its bridge, or in its container, by then. */
  #judgeLater(events: NetEvent[]): void {
    const links = events.filter((e) => e.kind === "link");
    const others = events.filter((e) => e.kind !== "link");
    const certain = links.find((event) => voidsFlows(event, this.#known(this.#before)));
    if (certain === undefined && others.length === 0) return;
    if (this.#pending.length === 0 && this.#certain === undefined) this.#pendingSince = performance.now();
    this.#certain ??= certain;
    this.#pending.push(...others);
    const left = this.#pendingSince + MOST_MS - performance.now();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#judge(), Math.max(0, Math.min(QUIET_MS, left)));
  }

  #judge(): void {
    this.poll();
    const addresses = addressesByDevice(this.lists.addresses());
    const readdressed = differing(this.#addresses, addresses);
    this.#addresses = addresses;
    const known = this.#known(new Map(this.lists.links().map((l) => [l.ifindex, l])), readdressed);
    const voiding = this.#certain ?? this.#pending.find((event) => voidsFlows(event, known));
    this.#pending = [];
    this.#certain = undefined;
    if (voiding === undefined) return;
    const device = known.links.get(voiding.ifindex ?? -1)?.name;
    this.callbacks.voided(`${voiding.kind} ${voiding.action}${device === undefined ? "" : ` ${device}`}`);
  }

  #known(links: ReadonlyMap<number, NetLink>, readdressed: ReadonlySet<number> = new Set()): DeviceKnowledge {
    return {
      links,
      before: this.#before,
      uplinks: this.#uplinks,
      engineBridges: this.#engineBridges,
      readdressed,
    };
  }
}
