import { isDeepStrictEqual } from "node:util";
import type { EngineState } from "../docker/model.js";
import type { HostState } from "../host/state.js";
import { isNearlyFull, plan } from "./plan.js";
import type { Plan, PlanOptions } from "./types.js";

/** What is long, and the same object as long as it says the same. */
const LISTS = [
  "links",
  "addresses",
  "defaultRoutes",
  "routeMtus",
  "nsids",
] as const satisfies (keyof HostState)[];

/** Plans, and gives the same plan again as long as it says the same. */
export class Planner {
  #last: { engine: EngineState; host: HostState; plan: Plan } | undefined;

  constructor(private readonly options: PlanOptions) {}

  plan(engine: EngineState, host: HostState): Plan {
    const last = this.#last;
    if (last !== undefined && last.engine === engine && isSame(last.host, host)) return last.plan;
    const now = plan(engine, host, this.options);
    const made = last !== undefined && isDeepStrictEqual(last.plan, now) ? last.plan : now;
    this.#last = { engine, host, plan: made };
    return made;
  }
}

function isSame(a: HostState, b: HostState): boolean {
  return LISTS.every((name) => a[name] === b[name]) && isDeepStrictEqual(short(a), short(b));
}

/** The rest, but for how many connections there are just now. */
function short(host: HostState) {
  const { links, addresses, defaultRoutes, routeMtus, nsids, conntrack, ...rest } = host;
  return { ...rest, conntrackMax: conntrack?.max, nearlyFull: isNearlyFull(conntrack) };
}
