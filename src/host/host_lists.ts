import { isDeepStrictEqual } from "node:util";
import {
  getLinks,
  listAddresses,
  listLinks,
  listRoutes,
  type NetAddress,
  type NetEvent,
  type NetLink,
  netnsIds,
} from "../native/index.js";
import { defaultRoutes, LONGEST_DEFAULT_PREFIX, routeMtus } from "./routes.js";
import type { DefaultRoute, HostState } from "./state.js";

interface Routes {
  defaultRoutes: DefaultRoute[];
  routeMtus: Map<number, number>;
}

/** What of the host rtnetlink tells; each of them the same object as long as it says the same. */
export type ListedHost = Pick<HostState, "links" | "addresses" | "defaultRoutes" | "routeMtus" | "nsids">;

/** Up to here devices that changed are asked for one by one; beyond, all are listed. */
const ONE_BY_ONE_MAX = 64;

/**
 * The host's devices, addresses, routes and the containers' namespaces, listed anew only where the kernel has told of a change since: on a
 * host with a thousand containers each list is thousands of entries. Who owns it passes on the kernel's notifications.
 */
export class HostLists {
  /** By ifindex. */
  #links: NetLink[] | undefined;
  /** As they were last given. */
  readonly #given: { links: NetLink[]; addresses: NetAddress[]; routes: Routes } = {
    links: [],
    addresses: [],
    routes: { defaultRoutes: [], routeMtus: new Map() },
  };
  /** Devices of which something was told since they were listed. */
  readonly #changedLinks = new Set<number>();
  #addresses: NetAddress[] | undefined;
  #routes: Routes | undefined;
  /** By sandbox key. */
  #nsids = new Map<string, number>();
  /** The same, as it was last given. */
  #nsidsKnown: Map<string, number> | undefined;

  /** What the kernel told of; before the next look(). */
  note(events: readonly NetEvent[]): void {
    for (const { kind, action, ifindex, link } of events) {
      if (kind === "link") {
        if (action === "del") this.#forgetNamespaceOf(ifindex, link);
        if (ifindex === undefined) this.#links = undefined;
        else this.#changedLinks.add(ifindex);
        // The IPv4 routes that a device takes with it are not told of.
        if (this.#hasRoutes(ifindex)) this.#routes = undefined;
      } else if (kind === "address") this.#addresses = this.#routes = undefined;
      else if (kind === "route") this.#routes = undefined;
    }
  }

  #hasRoutes(ifindex: number | undefined): boolean {
    if (ifindex === undefined || this.#routes === undefined) return true;
    const { defaultRoutes, routeMtus } = this.#routes;
    return routeMtus.has(ifindex) || defaultRoutes.some(({ oif }) => oif === ifindex);
  }

  /** Everything is listed anew at the next look(). */
  forget(): void {
    this.#links = this.#addresses = this.#routes = undefined;
    this.#forgetNamespaces();
  }

  /** A namespace takes its devices with it, and another may get its id: that of a device that has gone is asked for anew. */
  #forgetNamespaceOf(ifindex: number | undefined, link: NetLink | undefined): void {
    const before = this.#links?.find((one) => one.ifindex === ifindex);
    if (link === undefined && before === undefined) {
      this.#forgetNamespaces();
      return;
    }
    const ids = new Set([link?.linkNetnsid, before?.linkNetnsid]);
    for (const [key, id] of this.#nsids) {
      if (!ids.has(id)) continue;
      this.#nsids.delete(key);
      this.#nsidsKnown = undefined;
    }
  }

  #forgetNamespaces(): void {
    this.#nsids = new Map();
    this.#nsidsKnown = undefined;
  }

  links(): NetLink[] {
    if (this.#links === undefined || this.#changedLinks.size > ONE_BY_ONE_MAX)
      this.#links = withKnown(this.#given.links, listLinks());
    else if (this.#changedLinks.size > 0) this.#links = this.#withChanges(this.#links);
    this.#changedLinks.clear();
    this.#given.links = this.#links;
    return this.#links;
  }

  /** The same list where nothing of what was told of makes a difference in it. */
  #withChanges(links: NetLink[]): NetLink[] {
    const others = links.filter(({ ifindex }) => !this.#changedLinks.has(ifindex));
    return withKnown(links, [...others, ...getLinks(this.#changedLinks)]);
  }

  addresses(): NetAddress[] {
    this.#addresses ??= sameIfEqual(this.#given.addresses, listAddresses());
    this.#given.addresses = this.#addresses;
    return this.#addresses;
  }

  /**
   * @param sandboxKeys paths of the containers' network namespaces, as the engine names them
   * @throws NativeError where netlink fails
   */
  look(sandboxKeys: ReadonlySet<string>): ListedHost {
    // The links first: listing them has the kernel give ids to the namespaces of their peers.
    const links = this.links();
    const addresses = this.addresses();
    this.#routes ??= routesOf(this.#given.routes);
    this.#given.routes = this.#routes;
    return { links, addresses, ...this.#routes, nsids: this.#namespaces(sandboxKeys) };
  }

  #namespaces(keys: ReadonlySet<string>): Map<string, number> {
    // One without an id may get it at any time, without a device of ours being told of.
    const unknown = [...keys].filter((key) => key !== "" && this.#nsids.get(key) === undefined);
    const gone = [...this.#nsids.keys()].filter((key) => !keys.has(key));
    for (const key of gone) this.#nsids.delete(key);
    const found = unknown.length === 0 ? [] : netnsIds(unknown);
    for (const [at, key] of unknown.entries()) {
      const id = found[at];
      if (id !== undefined) this.#nsids.set(key, id);
    }
    if (gone.length > 0 || found.some((id) => id !== undefined)) this.#nsidsKnown = undefined;
    this.#nsidsKnown ??= new Map(this.#nsids);
    return this.#nsidsKnown;
  }
}

function routesOf(before: Routes): Routes {
  const routes = listRoutes(LONGEST_DEFAULT_PREFIX);
  return {
    defaultRoutes: sameIfEqual(before.defaultRoutes, defaultRoutes(routes)),
    routeMtus: sameIfEqual(before.routeMtus, routeMtus(routes)),
  };
}

function sameIfEqual<T>(before: T, now: T): T {
  return isDeepStrictEqual(before, now) ? before : now;
}

/**
 * The devices of `now` by ifindex, each the object of `before` that says the same where there is one; `before` itself where that says all of
 * it.
 */
function withKnown(before: NetLink[], now: NetLink[]): NetLink[] {
  const known = new Map(before.map((link) => [link.ifindex, link]));
  const merged = now
    .map((link) => {
      const one = known.get(link.ifindex);
      return one !== undefined && isSameLink(one, link) ? one : link;
    })
    .sort((a, b) => a.ifindex - b.ifindex);
  return merged.length === before.length && merged.every((link, at) => link === before[at]) ? before : merged;
}

/** Both are flat. */
function isSameLink(a: NetLink, b: NetLink): boolean {
  if (a === b) return true;
  const keys = Object.keys(a) as (keyof NetLink)[];
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
