import type { Logger } from "pino";
import { layoutHash } from "../generated/index.js";
import type { ConntrackTimeouts } from "../host/state.js";
import { supportsTcx } from "../native/index.js";
import type { Plan, PlannedPort, PlanWarning } from "../plan/types.js";
import { Announcer } from "./announcer.js";
import { Applier, type ApplyResult } from "./apply.js";
import { Epoch } from "./epoch.js";
import { GracePeriods } from "./grace_periods.js";
import { handOverFlows } from "./handover.js";
import { HostSockets } from "./host_sockets.js";
import { type Attachments, ClsactAttachments, detachAll, TcxAttachments } from "./links.js";
import { flowTableCounters, MapReader } from "./map_reader.js";
import type { Maps } from "./maps.js";
import { isOurs, networkNamespace } from "./namespace.js";
import { refuseOtherDatapath } from "./others.js";
import { Pins, unmountOwn } from "./pins.js";
import { PolicyApplier, type PolicyResult } from "./policy.js";
import { type LoadedPrograms, loadPrograms } from "./programs.js";
import type { DatapathReader } from "./reader.js";
import type { PlacedEndpoint } from "./slots.js";
import { NOTHING_SAVED, type SavedState, StateFile } from "./state_file.js";
import { Sweep } from "./sweep.js";
import { setSysctl } from "./sysctls.js";
import { XdpLinks } from "./xdp.js";

/** Segments that the kernel's tracker did not see move a connection's window: it must not take the next for invalid. */
const BE_LIBERAL = "net.netfilter.nf_conntrack_tcp_be_liberal";

export interface DatapathOptions {
  bpffs: string;
  stateDir: string;
  flowsMax: number;
  timeouts: ConntrackTimeouts;
  log: Logger;
}

/** The programs in the kernel and what they work by. One per host; pinned, so that it outlives this object. */
export class Datapath {
  readonly reader: DatapathReader;
  readonly adopted: boolean;
  readonly #maps: Maps;
  readonly #loaded: LoadedPrograms;
  readonly #attachments: Attachments;
  readonly #applier: Applier;
  readonly #announcer: Announcer;
  readonly #policy: PolicyApplier;
  readonly #epoch: Epoch;
  readonly #xdp: XdpLinks;
  readonly #hostSockets: HostSockets;
  readonly #sweep: Sweep;
  #placed: PlacedEndpoint[] = [];
  #plan: Plan | undefined;
  #portNumbers: ReadonlyMap<number, PlannedPort> = new Map();

  private constructor(
    loaded: LoadedPrograms,
    attachments: Attachments,
    pins: Pins,
    options: DatapathOptions,
  ) {
    this.adopted = loaded.adopted;
    this.#loaded = loaded;
    this.#maps = loaded.maps;
    this.#attachments = attachments;
    this.#announcer = new Announcer(loaded.programs.parent_announce, options.log);
    this.#policy = new PolicyApplier(loaded.maps, options.log);
    this.#epoch = new Epoch(loaded.maps.control);
    const voidFlows = () => this.#epoch.raiseTwice();
    this.#applier = new Applier(loaded.maps, attachments, voidFlows, options.log);
    this.#xdp = new XdpLinks(pins, loaded.programs.uplink_xdp, loaded.maps, options.log);
    this.#hostSockets = new HostSockets(pins, loaded, options.log);
    this.#sweep = new Sweep(
      loaded.programs.flow_sweep,
      () => flowTableCounters(loaded.maps),
      options.timeouts,
    );
    this.reader = new MapReader(loaded.maps, {
      placed: () => this.#placed,
      plan: () => this.#plan,
      portNumbers: () => this.#portNumbers,
      failedWrites: (map) => this.#applier.failedWrites(map) + this.#policy.failedWrites(map),
      policyEntries: (map) => this.#policy.entries(map),
      sweep: this.#sweep,
      xdp: () => this.#xdp.attached(),
      programs: () =>
        Object.entries(loaded.programs).map(([program, { info }]) => ({
          program,
          runs: info.runCount,
          runTimeNs: info.runTimeNs,
        })),
      detached: () => [...attachments.detached].map(([program, times]) => ({ program, times })),
    });
  }

  /**
   * Loads the programs, or puts this version's in place of those that are pinned, on their maps and at their devices. New
   * maps are empty and nothing is attached by it: that is apply()'s.
   * @throws UserError, NativeError as loadPrograms()
   */
  static open(options: DatapathOptions): Datapath {
    const { log } = options;
    const pins = new Pins(options.bpffs);
    const state = new StateFile(options.stateDir);
    const gracePeriods = new GracePeriods(state, log);
    gracePeriods.restore();
    const before = isOurs(state, pins) ? state.read() : NOTHING_SAVED;
    if (supportsTcx()) refuseOtherDatapath(pins);
    const wasThere = pins.exists();
    const mounted = pins.create() ?? before.mounted;
    const now: SavedState = {
      version: 1,
      sysctls: before.sysctls,
      namespace: networkNamespace(),
      ...(mounted === undefined ? {} : { mounted }),
    };
    // Whatever happens while the programs are loaded: what is pinned is of the layout that it was.
    state.write({ ...now, ...(before.layout === undefined ? {} : { layout: before.layout }) });
    const tcx = supportsTcx();
    let loaded: LoadedPrograms;
    try {
      loaded = loadPrograms({
        pins,
        flowsMax: options.flowsMax,
        pinnedLayout: before.layout,
        timeouts: options.timeouts,
        log,
        detachAll: () => {
          handOverFlows(pins, log);
          gracePeriods.expedited(() => detachAll(pins, tcx, log));
        },
      });
    } catch (error) {
      if (!wasThere) takeBack(pins, state);
      throw error;
    }
    state.write({ ...now, layout: layoutHash });
    setSysctl(state, BE_LIBERAL, "1", log);
    const control = loaded.maps.control.get(0);
    if (control === undefined || control.epoch === 0) {
      const nextGeneration = Math.max(1, control?.nextGeneration ?? 0);
      loaded.maps.control.set(0, { policy: 0, ...control, epoch: 1, nextGeneration });
    }
    const attachments = tcx
      ? new TcxAttachments(pins, loaded.programs, gracePeriods, log)
      : new ClsactAttachments(pins, loaded.programs);
    const datapath = new Datapath(loaded, attachments, pins, options);
    // Routes may have changed while nobody watched them.
    if (loaded.adopted) datapath.bumpEpoch();
    log.info({ adopted: loaded.adopted, attach: attachments.mode, bpffs: options.bpffs }, "datapath loaded");
    return datapath;
  }

  /** Whether the programs at the host's socket calls are attached. */
  get hostSocketsAttached(): boolean {
    return this.#hostSockets.attached;
  }

  get attachMode(): Attachments["mode"] {
    return this.#attachments.mode;
  }

  /** Makes the kernel's state that of the plan; see Applier.apply(). Policies are there before the ports that they are of. */
  async apply(plan: Plan): Promise<ApplyResult> {
    const policy = this.#applyPolicy(plan);
    const result = await this.#applier.apply(plan, this.#xdp.flags(plan.policy.xdp));
    const xdp = this.#xdp.reconcile(plan.policy.xdp);
    this.#hostSockets.knowDevices(plan, result.placed);
    const host = this.#hostSockets.reconcile(plan);
    // After a start too: they may have gone while no daemon ran.
    if (this.#plan === undefined || result.changes.gone.length > 0) this.#hostSockets.redialStale();
    this.#announcer.tell(result.placed);
    this.#placed = result.placed;
    this.#plan = plan;
    this.#portNumbers = result.changes.ports.byNumber;
    return {
      ...result,
      added: result.added + policy.added + xdp.added + host.added,
      removed: result.removed + policy.removed + xdp.removed + host.removed,
      warnings: [...result.warnings, ...this.#hostSocketWarnings(), ...this.#kernelWarnings()],
    };
  }

  /** Before apply(), while it is not known yet what there is to be of endpoints; see Applier.attachAhead(). */
  attachAhead(ifindexes: readonly number[]): void {
    this.#applier.attachAhead(ifindexes);
  }

  #hostSocketWarnings(): PlanWarning[] {
    const { obstacle } = this.#hostSockets;
    if (obstacle === undefined) return [];
    const message = `processes of the host reach published ports by the engine's own way: ${obstacle}`;
    return [{ code: "host_sockets", message, transient: false }];
  }

  #kernelWarnings(): PlanWarning[] {
    if (this.#loaded.makesConnections) return [];
    const message =
      "this kernel's conntrack functions don't fit each other: each connection's first packets are the kernel's, and ipvlan containers are neither masqueraded nor published";
    return [{ code: "connections_learned", message, transient: false }];
  }

  /** Connections that a stricter policy may refuse are judged anew at once: what comes next may fail, and be tried again. */
  #applyPolicy(plan: Plan): PolicyResult {
    let stricter = true;
    try {
      const result = this.#policy.apply(plan.policy, plan.unsure.length > 0);
      stricter = result.stricter;
      return result;
    } finally {
      // Also after half of the lists: when they are compared again, that half is no change any more.
      if (stricter) this.#epoch.raiseTwice();
    }
  }

  /** Devices that are gone: their endpoints are taken out at once. Returns their number. */
  forgetDevices(ifindexes: ReadonlySet<number>): number {
    const gone = this.#applier.forgetDevices(ifindexes).length;
    if (gone > 0) this.#hostSockets.redialStale();
    return gone;
  }

  /** Voids every flow entry: packets find their way anew. */
  bumpEpoch(): number {
    return this.#epoch.raise();
  }

  /** Rules have changed, and it may be no matter of the plan's: what was learned under others is asked for anew by the next sweep. */
  forgetLearned(): void {
    this.#sweep.forgetLearned();
  }

  /** Has idle and void flow entries taken out, and the others counted. */
  sweep(): void {
    this.#sweep.tick();
  }

  /** Lets go of the kernel's objects; everything that is pinned stays and goes on. */
  close(): void {
    this.#applier.close();
    this.#epoch.close();
    this.#attachments.close();
    this.#xdp.close();
    this.#hostSockets.close();
    for (const program of Object.values(this.#loaded.programs)) program.close();
    for (const map of Object.values(this.#maps)) map.kernel.close();
  }
}

/** A first start that the kernel refused leaves nothing. */
function takeBack(pins: Pins, state: StateFile): void {
  const { mounted } = state.read();
  pins.remove();
  if (mounted !== undefined) unmountOwn(mounted);
  state.remove();
}
