import { isDeepStrictEqual } from "node:util";
import type { EngineState } from "../docker/model.js";
import type { HostState } from "../host/state.js";
import type { NetLink } from "../native/index.js";
import { isNearlyFull, plan } from "./plan.js";
import type { Plan, PlanOptions } from "./types.js";

/** What is long, and the same object as long as it says the same. */
const LISTS = ["addresses", "defaultRoutes", "routeMtus", "nsids"] as const satisfies (keyof HostState)[];

/** Plans, and gives the same plan again as long as it says the same. */
export class Planner {
  #last: { engine: EngineState; host: HostState; links: readonly NetLink[]; plan: Plan } | undefined;

  constructor(private readonly options: PlanOptions) {}

  plan(engine: EngineState, host: HostState): Plan {
    const last = this.#last;
    if (last?.engine === engine && isSame(last.host, host)) {
      if (last.host.links === host.links) return last.plan;
      const links = linksThatMatter(engine, host, this.options);
      if (isSameList(last.links, links)) {
        this.#last = { ...last, host };
        return last.plan;
      }
    }
    const now = plan(engine, host, this.options);
    const made = last !== undefined && isDeepStrictEqual(last.plan, now) ? last.plan : now;
    this.#last = { engine, host, links: linksThatMatter(engine, host, this.options), plan: made };
    return made;
  }
}

/**
 * The host's devices but for those without which the plan would be the same: pairs (veth) that are a part of nothing, that nothing lies upon,
 * without addresses and routes of their own, and that nobody names. Containers' come and go as such, and other tools' too.
 */
export function linksThatMatter(
  engine: Pick<EngineState, "networks">,
  { links, addresses, defaultRoutes }: Pick<HostState, "links" | "addresses" | "defaultRoutes">,
  { uplinks }: Pick<PlanOptions, "uplinks">,
): readonly NetLink[] {
  const named = new Set([
    ...uplinks,
    ...engine.networks.flatMap(({ bridgeName, parent }) => [bridgeName ?? [], parent ?? []].flat()),
  ]);
  const used = new Set([...addresses.map((a) => a.ifindex), ...defaultRoutes.map((r) => r.oif)]);
  for (const { kind, link } of links) if (kind !== "veth" && link !== undefined) used.add(link);
  return links.filter(
    ({ kind, master, ifindex, name }) =>
      kind !== "veth" || master !== undefined || used.has(ifindex) || named.has(name),
  );
}

/** Lists whose entries are the same objects as long as they say the same. */
function isSameList(a: readonly NetLink[], b: readonly NetLink[]): boolean {
  return a.length === b.length && a.every((link, at) => link === b[at]);
}

function isSame(a: HostState, b: HostState): boolean {
  return LISTS.every((name) => a[name] === b[name]) && isDeepStrictEqual(short(a), short(b));
}

/** The rest, but for how many connections there are just now. */
function short(host: HostState) {
  const { links, addresses, defaultRoutes, routeMtus, nsids, conntrack, ...rest } = host;
  return { ...rest, conntrackMax: conntrack?.max, nearlyFull: isNearlyFull(conntrack) };
}
