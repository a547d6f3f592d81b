import type { Logger } from "pino";
import { StateFile } from "../datapath/state_file.js";
import type { EngineState } from "../docker/model.js";
import { UserError } from "../errors.js";
import type { FirewallState } from "../host/state.js";
import { type Family, perFamily } from "../ip.js";
import type { NetLink } from "../native/index.js";
import { planSlowNetworks, planSlowPath, type SlowPath } from "../plan/slow_path.js";
import { filterBridged } from "./bridge_filter.js";
import { Bridges } from "./bridges.js";
import { TABLE } from "./script.js";
import { SlowPathTable } from "./table.js";

/** What an engine has to be told for mode replace. */
const DAEMON_JSON = '{"iptables": false, "ip6tables": false, "userland-proxy": false}';

/** Mode replace for the daemon: the table, what it needs of the host, and what the engine must not do beside it. */
export class SlowPathKeeper {
  readonly #table = new SlowPathTable();
  readonly #state: StateFile;
  readonly #bridges = new Bridges();
  #planned: SlowPath | undefined;

  constructor(
    stateDir: string,
    private readonly log: Logger,
  ) {
    this.#state = new StateFile(stateDir);
  }

  /** There is a bridge of which it will only later be known whose it is. */
  get unsettled(): boolean {
    return this.#bridges.unsettled;
  }

  /**
   * Makes the host's rules what the engine's state asks for.
   * @param links the host's devices, listed after the engine's networks
   * @param now whether that is the engine's state now; else what it last was
   * @param look as SlowPathTable.apply()
   */
  async apply(engine: EngineState, links: readonly NetLink[], now: boolean, look: boolean): Promise<void> {
    const bridges = this.#bridges.known(engine, links, now ? performance.now() : undefined);
    const slowPath = planSlowPath(engine, bridges, this.#planned);
    if (slowPath.networks.some(({ icc }) => !icc)) await filterBridged(this.#state, this.log);
    const applied = await this.#table.apply(slowPath, look);
    this.#planned = slowPath;
    if (applied === "restored")
      this.log.warn({ table: TABLE }, "somebody else changed the slow path's rules: they are restored");
    else if (applied === "written")
      this.log.debug({ table: TABLE, ports: slowPath.ports.length }, "the slow path's rules are written");
  }

  /**
   * What is translated here, by fairway's rules: all that an engine without docker-proxy would.
   * @throws UserError where the engine has rules of its own
   */
  nat(engine: EngineState, { engineNat, dials }: FirewallState): Pick<FirewallState, "engineNat" | "dials"> {
    if (engineNat[4] || engineNat[6]) {
      throw new UserError("mode replace is for an engine that writes no rules, and this one has some", {
        remedy: `put ${DAEMON_JSON} into /etc/docker/daemon.json, restart the engine, and remove the rules that it has left (a reboot does)`,
      });
    }
    const networks = planSlowNetworks(engine);
    const masqueraded = (family: Family) =>
      new Map(
        networks.flatMap(({ bridge, ip }) =>
          ip[family]?.masquerade ? [[bridge, ip[family].snatAddress] as const] : [],
        ),
      );
    return {
      engineNat: { 4: true, 6: true },
      dials: perFamily((family) => ({
        obstacle: dials[family].obstacle,
        translated: "all",
        masqueraded: masqueraded(family),
      })),
    };
  }
}
