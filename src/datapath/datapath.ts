import type { Logger } from "pino";
import type { ConntrackTimeouts } from "../host/state.js";
import { supportsTcx } from "../native/index.js";
import type { Plan } from "../plan/types.js";
import { Applier, type ApplyResult } from "./apply.js";
import { setBeLiberal } from "./conntrack.js";
import { handOverFlows } from "./handover.js";
import { type Attachments, ClsactAttachments, detachAll, TcxAttachments } from "./links.js";
import { MapReader } from "./map_reader.js";
import type { Maps } from "./maps.js";
import { isOurs, networkNamespace } from "./namespace.js";
import { Pins, unmountOwn } from "./pins.js";
import { type LoadedPrograms, loadPrograms } from "./programs.js";
import type { DatapathReader } from "./reader.js";
import type { PlacedEndpoint } from "./slots.js";
import { NOTHING_SAVED, StateFile } from "./state_file.js";
import { type FlowValidity, Sweep } from "./sweep.js";

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
  readonly #sweep: Sweep;
  #placed: PlacedEndpoint[] = [];
  #plan: Plan | undefined;

  private constructor(loaded: LoadedPrograms, attachments: Attachments, options: DatapathOptions) {
    this.adopted = loaded.adopted;
    this.#loaded = loaded;
    this.#maps = loaded.maps;
    this.#attachments = attachments;
    this.#applier = new Applier(loaded.maps, attachments, options.log);
    this.#sweep = new Sweep(loaded.maps.flows.kernel, options.timeouts);
    this.reader = new MapReader(loaded.maps, {
      placed: () => this.#placed,
      plan: () => this.#plan,
      failedWrites: (map) => this.#applier.failedWrites(map),
      sweep: this.#sweep,
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
    const before = isOurs(state, pins) ? state.read() : NOTHING_SAVED;
    const wasThere = pins.exists();
    const mounted = pins.create() ?? before.mounted;
    state.write({
      version: 1,
      sysctls: before.sysctls,
      namespace: networkNamespace(),
      ...(mounted === undefined ? {} : { mounted }),
    });
    const tcx = supportsTcx();
    let loaded: LoadedPrograms;
    try {
      loaded = loadPrograms({
        pins,
        flowsMax: options.flowsMax,
        timeouts: options.timeouts,
        log,
        detachAll: () => {
          handOverFlows(pins.map("flows"), log);
          detachAll(pins, tcx, log);
        },
      });
    } catch (error) {
      if (!wasThere) takeBack(pins, state);
      throw error;
    }
    setBeLiberal(state, log);
    const control = loaded.maps.control.get(0);
    if (control === undefined || control.epoch === 0) {
      loaded.maps.control.set(0, { epoch: 1, nextGeneration: Math.max(1, control?.nextGeneration ?? 0) });
    }
    const attachments = tcx
      ? new TcxAttachments(pins, loaded.programs, log)
      : new ClsactAttachments(loaded.programs);
    const datapath = new Datapath(loaded, attachments, options);
    // Routes may have changed while nobody watched them.
    if (loaded.adopted) datapath.bumpEpoch();
    log.info({ adopted: loaded.adopted, attach: attachments.mode, bpffs: options.bpffs }, "datapath loaded");
    return datapath;
  }

  get attachMode(): Attachments["mode"] {
    return this.#attachments.mode;
  }

  /** Makes the kernel's state that of the plan; see Applier.apply(). */
  async apply(plan: Plan): Promise<ApplyResult> {
    const result = await this.#applier.apply(plan);
    this.#placed = result.placed;
    this.#plan = plan;
    return result;
  }

  /** Devices that are gone: their endpoints are taken out at once. Returns their number. */
  forgetDevices(ifindexes: ReadonlySet<number>): number {
    return this.#applier.forgetDevices(ifindexes).length;
  }

  /** Voids every flow entry: packets find their way anew. */
  bumpEpoch(): number {
    const control = this.#maps.control.get(0) ?? { epoch: 0, nextGeneration: 1 };
    const epoch = control.epoch >= 0xffffffff ? 1 : control.epoch + 1;
    this.#maps.control.set(0, { ...control, epoch });
    return epoch;
  }

  /** One piece of the flow table's walk; true at its end. */
  sweep(): boolean {
    return this.#sweep.tick(this.#validity());
  }

  #validity(): FlowValidity {
    return { epoch: this.#maps.control.get(0)?.epoch ?? 0, generations: this.#applier.generations() };
  }

  /** Lets go of the kernel's objects; everything that is pinned stays and goes on. */
  close(): void {
    this.#attachments.close();
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
