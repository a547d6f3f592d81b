import type { Logger } from "pino";
import { errorCode, errorMessage } from "../errors.js";
import type { ProgramName } from "../generated/index.js";
import {
  BpfLink,
  BpfProgram,
  clsactFilters,
  type Direction,
  detachClsact,
  linkDevices,
  listLinks,
  removeClsact,
  tcxPrograms,
} from "../native/index.js";
import type { GracePeriods } from "./grace_periods.js";
import { isHostSocketPin } from "./host_sockets.js";
import { type Pins, unpin } from "./pins.js";
import { isXdpPin } from "./xdp.js";

/** Where each program goes; flow_sweep and parent_announce are run, not attached. */
const DIRECTIONS = {
  uplink_ingress: "ingress",
  uplink_ingress_l3: "ingress",
  uplink_egress: "egress",
  uplink_egress_l3: "egress",
  endpoint_ingress: "ingress",
  endpoint_egress: "egress",
  parent_ingress: "ingress",
  parent_egress: "egress",
} as const satisfies Partial<Record<ProgramName, Direction>>;

type AttachedProgram = keyof typeof DIRECTIONS;
const attachedPrograms = Object.keys(DIRECTIONS) as AttachedProgram[];

/** Names our filters on kernels without TCX: a handle that reads "fairway", and priorities late in the chain. */
const CLSACT_HANDLE = 0xfa17;
const CLSACT_PRIORITY = 0xfa17;
/** A parent's programs come after an uplink's: both may be at one device. */
const CLSACT_PARENT_PRIORITY = 0xfa18;

function clsactName(program: AttachedProgram): { priority: number; handle: number } {
  const isParents = program.startsWith("parent_");
  return { handle: CLSACT_HANDLE, priority: isParents ? CLSACT_PARENT_PRIORITY : CLSACT_PRIORITY };
}

/** BPF_OBJ_NAME_LEN without the zero at its end. */
const KERNEL_NAME_LENGTH = 15;

export type AttachMode = "tcx" | "clsact";

/** A program at a device. */
export interface Attachment {
  program: AttachedProgram;
  ifindex: number;
}

/**
 * What is attached where. By TCX every attachment is a link pinned as "<program>-<ifindex>", which outlives the daemon
 * and tells by itself when its device is gone; by clsact (before 6.6) the filter outlives the daemon too, and dies with the device.
 */
export interface Attachments {
  readonly mode: AttachMode;
  /** What is attached now, each as the same object as long as it is; links whose device is gone are dropped on the way. */
  list(): Attachment[];
  /** Runs what attaches and detaches several programs, which costs less than one by one. */
  together<T>(work: () => T): T;
  /** Runs what calls together() time and again. */
  series<T>(work: () => Promise<T>): Promise<T>;
  /** Attaches; false when the device is gone by now. Attaching twice is fine. */
  attach(attachment: Attachment): boolean;
  /** Detaches; fine when it is not attached. */
  detach(attachment: Attachment): void;
  /** How often a program was found detached from a device that is still there: by somebody else. By TCX alone: a filter tells nothing. */
  readonly detached: ReadonlyMap<string, number>;
  /** Programs of others that see packets after one of ours at the same hook: what they are called. */
  after(attachment: Attachment): string[];
  close(): void;
}

/** Links by TCX. Those that are pinned from before are moved to the new programs in place. */
export class TcxAttachments implements Attachments {
  readonly mode = "tcx";
  readonly detached = new Map<string, number>();
  readonly #links = new Map<string, { attachment: Attachment; link: BpfLink }>();

  constructor(
    private readonly pins: Pins,
    private readonly programs: Readonly<Record<ProgramName, BpfProgram>>,
    private readonly gracePeriods: GracePeriods,
    private readonly log: Logger,
  ) {
    for (const name of pins.list(pins.links))
      if (!isXdpPin(name) && !isHostSocketPin(name)) this.#adopt(name);
  }

  #adopt(name: string): void {
    const attachment = parseName(name);
    const path = this.pins.link(name);
    if (attachment === undefined) {
      this.log.warn({ path }, "unknown pin left alone");
      return;
    }
    const link = BpfLink.openPinned(path);
    if (link.info.ifindex !== attachment.ifindex) {
      link.close();
      unpin(path);
      return;
    }
    link.update(this.programs[attachment.program]);
    this.#links.set(name, { attachment, link });
  }

  list(): Attachment[] {
    const attachments: Attachment[] = [];
    const lost: Attachment[] = [];
    const devices = linkDevices([...this.#links.values()].map(({ link }) => link));
    for (const [at, [name, { attachment, link }]] of [...this.#links].entries()) {
      if (devices[at] === attachment.ifindex) attachments.push(attachment);
      else {
        this.#drop(name, link);
        lost.push(attachment);
      }
    }
    this.#countDetached(lost);
    return attachments;
  }

  /** A link goes with its device, which is nothing to tell. */
  #countDetached(lost: readonly Attachment[]): void {
    if (lost.length === 0) return;
    const devices = new Set(listLinks().map((device) => device.ifindex));
    for (const { program, ifindex } of lost) {
      if (!devices.has(ifindex)) continue;
      this.detached.set(program, (this.detached.get(program) ?? 0) + 1);
      this.log.warn({ program, ifindex }, "program was detached by somebody else");
    }
  }

  together<T>(work: () => T): T {
    return this.gracePeriods.expedited(work);
  }

  series<T>(work: () => Promise<T>): Promise<T> {
    return this.gracePeriods.series(work);
  }

  attach(attachment: Attachment): boolean {
    const name = pinName(attachment);
    if (this.#links.has(name)) return true;
    const { program, ifindex } = attachment;
    let link: BpfLink;
    try {
      link = this.programs[program].attachTcx({ ifindex, direction: DIRECTIONS[program], position: "last" });
    } catch (error) {
      if (errorCode(error) === "ENODEV") return false;
      throw error;
    }
    try {
      pinAnew(link, this.pins.link(name));
    } catch (error) {
      link.close();
      throw error;
    }
    this.#links.set(name, { attachment, link });
    return true;
  }

  detach(attachment: Attachment): void {
    const name = pinName(attachment);
    const held = this.#links.get(name);
    if (held !== undefined) this.#drop(name, held.link);
  }

  after({ program, ifindex }: Attachment): string[] {
    const link = this.#links.get(pinName({ program, ifindex }))?.link;
    if (link === undefined) return [];
    const chain = tcxPrograms({ ifindex, direction: DIRECTIONS[program] });
    const own = chain.indexOf(link.info.programId);
    const ours = new Set(Object.values(this.programs).map(({ info }) => info.id));
    return own === -1
      ? []
      : chain
          .slice(own + 1)
          .filter((id) => !ours.has(id))
          .map(programLabel);
  }

  #drop(name: string, link: BpfLink): void {
    this.#links.delete(name);
    // Unpinned and closed, the last reference is gone and so is the attachment.
    unpin(this.pins.link(name));
    link.close();
  }

  close(): void {
    for (const { link } of this.#links.values()) link.close();
    this.#links.clear();
  }
}

/** Filters by clsact. Those that a former run has left are found by their names, and get the new programs in place. */
export class ClsactAttachments implements Attachments {
  readonly mode = "clsact";
  readonly detached = new Map<string, number>();
  readonly #attached = new Map<string, Attachment>();

  constructor(
    private readonly pins: Pins,
    private readonly programs: Readonly<Record<ProgramName, BpfProgram>>,
  ) {
    for (const { ifindex } of listLinks()) {
      for (const program of clsactPrograms(ifindex)) this.attach({ program, ifindex });
    }
  }

  list(): Attachment[] {
    const present = new Set(listLinks().map((l) => l.ifindex));
    for (const [name, { ifindex }] of this.#attached) if (!present.has(ifindex)) this.#attached.delete(name);
    for (const ifindex of this.pins.markedQdiscs()) if (!present.has(ifindex)) this.pins.forgetQdisc(ifindex);
    return [...this.#attached.values()];
  }

  /** The kernel waits for nothing here. */
  together<T>(work: () => T): T {
    return work();
  }

  series<T>(work: () => Promise<T>): Promise<T> {
    return work();
  }

  attach(attachment: Attachment): boolean {
    const { program, ifindex } = attachment;
    try {
      const made = this.programs[program].attachClsact({
        ifindex,
        direction: DIRECTIONS[program],
        ...clsactName(program),
      });
      if (made) this.pins.markQdisc(ifindex);
    } catch (error) {
      if (errorCode(error) === "ENODEV") return false;
      throw error;
    }
    this.#attached.set(pinName(attachment), attachment);
    return true;
  }

  detach(attachment: Attachment): void {
    this.#attached.delete(pinName(attachment));
    const { program, ifindex } = attachment;
    detachFilter({ ifindex, direction: DIRECTIONS[program], ...clsactName(program) });
    removeOwnQdisc(this.pins, attachment.ifindex);
  }

  /** Ours has the last priority but for a thousand or so: who comes after it has chosen to. */
  after(): string[] {
    return [];
  }

  close(): void {
    this.#attached.clear();
  }
}

/**
 * Takes every program of ours off the host, whoever attached it: pinned links, and filters where there is no TCX.
 * @returns the names of what was detached
 */
export function detachAll(pins: Pins, tcx: boolean, log: Logger): string[] {
  const detached: string[] = [];
  for (const name of pins.list(pins.links)) {
    const path = pins.link(name);
    try {
      const link = BpfLink.openPinned(path);
      if (link.info.ifindex !== 0) link.detach();
      link.close();
    } catch (error) {
      log.debug({ path, error: errorMessage(error) }, "link was defunct");
    }
    unpin(path);
    detached.push(name);
  }
  if (!tcx) {
    for (const { ifindex } of listLinks()) {
      for (const direction of ["ingress", "egress"] as const) {
        for (const priority of [CLSACT_PRIORITY, CLSACT_PARENT_PRIORITY]) {
          const filter = { ifindex, direction, priority, handle: CLSACT_HANDLE };
          if (detachFilter(filter)) detached.push(`${direction}-${ifindex}`);
        }
      }
      removeOwnQdisc(pins, ifindex);
    }
  }
  return detached;
}

/** Our programs at a device by clsact. The kernel keeps the first 15 characters of a name, by which ours still differ. */
function clsactPrograms(ifindex: number): AttachedProgram[] {
  const ids = (["ingress", "egress"] as const)
    .flatMap((direction) => clsactFilters({ ifindex, direction }))
    .filter(({ handle }) => handle === CLSACT_HANDLE)
    .flatMap(({ programId }) => (programId === undefined ? [] : [programId]));
  const names = ids.map(programName);
  return attachedPrograms.filter((program) => names.includes(program.slice(0, KERNEL_NAME_LENGTH)));
}

/** Removes a clsact qdisc that we made when no filter is left in it, ours or of somebody who has come since. */
function removeOwnQdisc(pins: Pins, ifindex: number): void {
  if (!pins.markedQdiscs().includes(ifindex)) return;
  for (const direction of ["ingress", "egress"] as const) {
    if (clsactFilters({ ifindex, direction }).length > 0) return;
  }
  removeClsact(ifindex);
  pins.forgetQdisc(ifindex);
}

function detachFilter(filter: Parameters<typeof detachClsact>[0]): boolean {
  try {
    return detachClsact(filter);
  } catch (error) {
    if (errorCode(error) === "ENODEV") return false;
    throw error;
  }
}

/**
 * Which of fairway's programs a program at a hook is, by its name.
 * @returns undefined: none, or it is gone by now
 */
export function attachedProgramOf(id: number, direction: Direction): string | undefined {
  const name = programName(id);
  return attachedPrograms.find(
    (program) => DIRECTIONS[program] === direction && program.slice(0, KERNEL_NAME_LENGTH) === name,
  );
}

/** "name (id 12)"; by its id alone when it is gone by now. */
function programLabel(id: number): string {
  const name = programName(id);
  return name === undefined ? `with id ${id}` : `${name} (id ${id})`;
}

/** As the kernel keeps it; undefined when the program is gone by now. */
function programName(id: number): string | undefined {
  try {
    const program = BpfProgram.openById(id);
    const { name } = program.info;
    program.close();
    return name;
  } catch {
    return undefined;
  }
}

function pinName({ program, ifindex }: Attachment): string {
  return `${program}-${ifindex}`;
}

/** Most often there is nothing of that name, which unlinking would have to find out each time. */
function pinAnew(link: BpfLink, path: string): void {
  try {
    link.pin(path);
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
    unpin(path);
    link.pin(path);
  }
}

function parseName(name: string): Attachment | undefined {
  const match = /^([a-z0-9_]+)-(\d+)$/.exec(name);
  const program = attachedPrograms.find((p) => p === match?.[1]);
  return program === undefined ? undefined : { program, ifindex: Number(match?.[2]) };
}
