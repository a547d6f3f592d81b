import type { Logger } from "pino";
import { errorMessage } from "../errors.js";
import type { Plan, PlanWarning } from "../plan/types.js";
import { applyListened, wantedListened } from "./announced.js";
import { applyHostRoutes } from "./host_routes.js";
import { UntrackedTable } from "./untracked.js";

/** What of the host's own is as containers on ipvlan and macvlan need it: routes and rules, both ours and marked so. */
export class ParentKeeper {
  readonly #untracked = new UntrackedTable();
  /** Nobody else has routes of this kind: what was not there stays away. Undefined before the first pass, and after a failure. */
  #hasRoutes: boolean | undefined;
  #listens: boolean | undefined;

  constructor(private readonly log: Logger) {}

  /** Makes both as planned. What can't be done is a warning: the rest of the datapath does not depend on it. */
  async apply({ parents, hostRoutes }: Pick<Plan, "parents" | "hostRoutes">): Promise<{
    added: number;
    removed: number;
    warnings: PlanWarning[];
  }> {
    const warnings: PlanWarning[] = [];
    let changed = { added: 0, removed: 0 };
    try {
      await this.#untracked.apply(parents);
    } catch (error) {
      warnings.push({ code: "parent_untracked", message: errorMessage(error), transient: false });
    }
    try {
      // Most hosts have none, and a thousand containers' devices have thousands of others to look through.
      if (hostRoutes.length > 0 || this.#hasRoutes !== false) {
        this.#hasRoutes = undefined;
        changed = await applyHostRoutes(hostRoutes);
        this.#hasRoutes = hostRoutes.length > 0;
      }
      if (changed.added + changed.removed > 0)
        this.log.debug({ hostRoutes }, "routes to containers on parents");
    } catch (error) {
      const message = `the host's routes to ipvlan and macvlan containers: ${errorMessage(error).split("\n").join(" ")}`;
      warnings.push({ code: "parent_route", message, transient: false });
    }
    try {
      const wanted = wantedListened(parents);
      if (wanted.length > 0 || this.#listens !== false) {
        this.#listens = undefined;
        await applyListened(wanted);
        this.#listens = wanted.length > 0;
      }
    } catch (error) {
      const message = `parents don't listen for announced IPv6 containers: ${errorMessage(error).split("\n").join(" ")}`;
      warnings.push({ code: "parent_announce", message, transient: false });
    }
    return { ...changed, warnings };
  }
}
