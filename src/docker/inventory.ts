import { setMaxListeners } from "node:events";
import { isDeepStrictEqual } from "node:util";
import { errorMessage } from "../errors.js";
import { compareText, printable } from "../text.js";
import { type EngineClient, type EngineVersion, REQUESTS_AT_A_TIME } from "./client.js";
import { EngineHttpError } from "./http.js";
import { KeyedQueue } from "./keyed_queue.js";
import type { EngineContainer, EngineNetwork, EngineState } from "./model.js";
import { normaliseContainer, normaliseNetwork } from "./normalise.js";
import { attachmentSchema, attachmentsSchema, containerSchema, issuesLine, networkSchema } from "./schema.js";

/** What the inventory asks of the engine; EngineClient is one. */
export type InventorySource = Pick<EngineClient, "networks" | "network" | "container">;

/** A container's. */
const ID = /^[0-9a-f]{64}$/;

/** How many containers of which nothing new was heard are inspected in a routine refresh. */
export const ROUTINE_INSPECTIONS = 64;

/** A running container as the networks' lists have it. */
interface Listed {
  name: string;
  endpointIds: string[];
}

/**
 * The engine's networks and the running containers that are on any. What an event is about is inspected at once and beside the
 * passes, so that a container whose start takes its time keeps nobody waiting; everything is listed at the start and now and then.
 *
 * Containers are found by the networks that they are on, not by the engine's list of containers: for that the engine (29, with
 * containerd's image store) looks up each one's image, some milliseconds apiece.
 */
export class Inventory {
  readonly #known = new Map<string, EngineContainer>();
  /** Why the last inspection of a container failed. */
  readonly #failed = new Map<string, string>();
  #networks: EngineNetwork[] = [];
  #networkWarnings: string[] = [];
  #listed: ReadonlyMap<string, Listed> = new Map();
  #stale = true;
  /** Up to whom the last routine refresh inspected. */
  #routineAt = "";
  /** Looks that will tell by themselves what is new. */
  #lookingAtAll = 0;
  #state: EngineState | undefined;
  readonly #inspections: KeyedQueue;
  readonly #lists: KeyedQueue;

  /**
   * @param changed something is other than it was at the last look
   * @param signal ends all requests
   */
  constructor(
    private readonly source: InventorySource,
    private readonly changed: () => void,
    private readonly signal: AbortSignal,
  ) {
    // Every request listens, and Node takes more than ten for a leak.
    setMaxListeners(2 * REQUESTS_AT_A_TIME + 2, signal);
    this.#inspections = new KeyedQueue((id) => this.#inspect(id), REQUESTS_AT_A_TIME);
    this.#lists = new KeyedQueue(() => this.#listNetworks(), 1);
  }

  /** A container may have changed; undefined: anything may have, and the next look lists all of it. */
  mark(containerId: string | undefined): void {
    if (containerId === undefined) this.#stale = true;
    else if (ID.test(containerId)) this.#beside(this.#inspections.ask(containerId));
  }

  /** The networks may have changed; not who is on them. */
  markNetworks(): void {
    this.#beside(this.#lists.ask(""));
  }

  /**
   * The engine as far as it is known. What makes no sense or doesn't answer in time is left out with a warning; a container whose
   * inspection failed though it runs keeps what was known of it, else its endpoints are named in `unsure`. Where anything may have
   * changed, everything is listed and inspected first.
   * @param listed told of the networks when these are known, where the rest takes longer
   * @throws what the lists throw: then nothing may be concluded
   */
  async look(
    engine: EngineVersion,
    listed?: (networks: readonly EngineNetwork[]) => void,
  ): Promise<EngineState> {
    if (this.#stale) await this.#refresh("all", listed);
    // What was not known for sure is asked for again; what comes of it, changed() tells.
    else for (const id of [...this.#failed.keys(), ...this.#unsettled()]) this.mark(id);
    this.#state ??= this.#snapshot(engine);
    return this.#state;
  }

  /**
   * Lists everything beside the passes, for what no event has told: inspects whom the lists show on other networks than they were
   * known on, and of the rest some in turn. Where that fails the next look() does it.
   */
  routine(): void {
    this.#beside(
      this.#refresh("some").catch((error) => {
        this.#stale = true;
        this.changed();
        throw error;
      }),
    );
  }

  /** What is not waited for. Its failure is told by the next look, which does the same. */
  #beside(work: Promise<void>): void {
    work.catch(() => undefined);
  }

  async #refresh(
    whom: "all" | "some",
    networksListed?: (networks: readonly EngineNetwork[]) => void,
  ): Promise<void> {
    this.#stale = false;
    const all = whom === "all";
    if (all) {
      this.#state = undefined;
      this.#lookingAtAll++;
    }
    try {
      await this.#lists.ask("");
      networksListed?.(this.#networks);
      const listed = await this.#list();
      this.#listed = listed;
      const ids = new Set(listed.keys());
      const wanted = all
        ? new Set([...ids, ...this.#known.keys()])
        : new Set([...this.#differing(), ...this.#someOf(ids)]);
      for (const id of this.#failed.keys()) wanted.add(id);
      await Promise.all([...wanted].map((id) => this.#inspections.ask(id)));
    } catch (error) {
      this.#stale = true;
      throw error;
    } finally {
      if (all) this.#lookingAtAll--;
    }
  }

  /** Listed with other endpoints than they are known with, or not known, or known and not listed. */
  #differing(): string[] {
    return [...new Set([...this.#listed.keys(), ...this.#known.keys()])].filter((id) => this.#differs(id));
  }

  #differs(id: string): boolean {
    const known = this.#known.get(id)?.endpoints.map((e) => e.endpointId);
    return known?.sort(compareText).join() !== this.#listed.get(id)?.endpointIds.join();
  }

  #someOf(ids: ReadonlySet<string>): string[] {
    const sorted = [...ids].sort(compareText);
    const at = sorted.findIndex((id) => id > this.#routineAt);
    const from = at === -1 ? 0 : at;
    const some = [...sorted.slice(from), ...sorted.slice(0, from)].slice(0, ROUTINE_INSPECTIONS);
    this.#routineAt = some.at(-1) ?? "";
    return some;
  }

  /** Those that lack what they will have: a namespace, an endpoint's id. */
  #unsettled(): string[] {
    return [...this.#known.values()].filter((container) => !isSettled(container)).map(({ id }) => id);
  }

  async #listNetworks(): Promise<void> {
    const raw = await this.source.networks(this.signal);
    const warnings: string[] = [];
    const networks = readNetworks(raw, warnings).sort((a, b) => compareText(a.id, b.id));
    if (isDeepStrictEqual([networks, warnings], [this.#networks, this.#networkWarnings])) return;
    this.#networks = networks;
    this.#networkWarnings = warnings;
    this.#news();
  }

  /** Who is on the networks. */
  async #list(): Promise<Map<string, Listed>> {
    const listed = new Map<string, Listed>();
    const queue = this.#networks.values();
    const worker = async () => {
      for (const { id } of queue) {
        for (const one of readAttachments(await this.#network(id))) {
          const { name, endpointIds } = listed.get(one.id) ?? { name: one.name, endpointIds: [] };
          listed.set(one.id, { name, endpointIds: [...endpointIds, one.endpointId].sort(compareText) });
        }
      }
    };
    await Promise.all(Array.from({ length: REQUESTS_AT_A_TIME }, worker));
    return listed;
  }

  async #network(id: string): Promise<unknown> {
    try {
      return await this.source.network(id, this.signal);
    } catch (error) {
      // Gone since it was listed: nobody is on it.
      if (error instanceof EngineHttpError && error.status === 404) return {};
      throw error;
    }
  }

  async #inspect(id: string): Promise<void> {
    const found = await this.#ask(id);
    const before = this.#known.get(id);
    if (typeof found === "object" && "failure" in found) {
      const other = this.#failed.get(id) !== found.failure;
      this.#failed.set(id, found.failure);
      // What is known holds on, unless it is of other endpoints than those that there are.
      if (this.#listed.has(id) && this.#differs(id)) this.#known.delete(id);
      if (other) this.#news();
      return;
    }
    const failedBefore = this.#failed.delete(id);
    if (found === "gone" || !found.running || found.endpoints.length === 0) this.#known.delete(id);
    else this.#known.set(id, found);
    if (failedBefore || !isDeepStrictEqual(before, this.#known.get(id))) this.#news();
    const networks = new Set(this.#networks.map((network) => network.id));
    if (this.#known.get(id)?.endpoints.some(({ networkId }) => !networks.has(networkId))) this.markNetworks();
  }

  async #ask(id: string): Promise<EngineContainer | "gone" | { failure: string }> {
    const name = printable(this.#known.get(id)?.name ?? this.#listed.get(id)?.name ?? id.slice(0, 12));
    try {
      const parsed = containerSchema.safeParse(await this.source.container(id, this.signal));
      if (parsed.success && parsed.data.Id === id) return normaliseContainer(parsed.data);
      const why = parsed.success ? "another container's id" : issuesLine(parsed.error);
      return { failure: `container ${name} left out: the engine's answer makes no sense (${why})` };
    } catch (error) {
      if (error instanceof EngineHttpError && error.status === 404) return "gone";
      if (this.signal.aborted) throw error;
      return { failure: `container ${name} could not be inspected: ${errorMessage(error)}` };
    }
  }

  /** What was told at the last look holds no more. */
  #news(): void {
    this.#state = undefined;
    if (this.#lookingAtAll === 0) this.changed();
  }

  #snapshot(engine: EngineVersion): EngineState {
    const unsure = [...this.#failed.keys()].flatMap((id) =>
      this.#known.has(id) ? [] : (this.#listed.get(id)?.endpointIds ?? []),
    );
    return {
      ...engine,
      networks: this.#networks,
      containers: [...this.#known.values()].sort((a, b) => compareText(a.id, b.id)),
      unsure: unsure.sort(compareText),
      warnings: [...this.#networkWarnings, ...this.#failed.values()].sort(compareText),
    };
  }
}

function readNetworks(raw: unknown, warnings: string[]): EngineNetwork[] {
  if (raw === null) return [];
  if (!Array.isArray(raw)) throw new Error("the engine's list of networks is no list");
  return raw.flatMap((item: unknown) => {
    const parsed = networkSchema.safeParse(item);
    if (parsed.success) return [normaliseNetwork(parsed.data)];
    warnings.push(
      `network ${label(item, "Name")} left out: the engine's answer makes no sense (${issuesLine(parsed.error)})`,
    );
    return [];
  });
}

/** Whom a network's inspection names; endpoints that belong to no container (yet) have other keys. */
function readAttachments(raw: unknown): { id: string; name: string; endpointId: string }[] {
  const parsed = attachmentsSchema.safeParse(raw);
  if (!parsed.success) throw new Error(`the engine's answer makes no sense (${issuesLine(parsed.error)})`);
  return Object.entries(parsed.data.Containers ?? {}).flatMap(([id, item]) => {
    if (!ID.test(id)) return [];
    const attachment = attachmentSchema.safeParse(item);
    // Whoever it is has an inspection that will tell.
    const { Name = "", EndpointID = "" } = attachment.success ? attachment.data : {};
    return [{ id, name: Name || id.slice(0, 12), endpointId: EndpointID }];
  });
}

function isSettled(container: EngineContainer): boolean {
  return container.sandboxKey !== "" && container.endpoints.every((e) => e.endpointId !== "");
}

function label(item: unknown, field: string): string {
  const value =
    typeof item === "object" && item !== null ? (item as Record<string, unknown>)[field] : undefined;
  return typeof value === "string" ? printable(value) : "(unnamed)";
}
