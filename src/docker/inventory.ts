import { errorMessage } from "../errors.js";
import { type EngineClient, type EngineVersion, INSPECT_CONCURRENCY } from "./client.js";
import { EngineHttpError } from "./http.js";
import type { EngineContainer, EngineNetwork, EngineState } from "./model.js";
import { normaliseContainer, normaliseNetwork } from "./normalise.js";
import {
  containerSchema,
  containerSummarySchema,
  issuesLine,
  networkSchema,
  type RawContainerSummary,
} from "./schema.js";

/** What the inventory asks of the engine; EngineClient is one. */
export type InventorySource = Pick<EngineClient, "networks" | "containers" | "container">;

/** A container's inspection and the summary that it belonged to. */
interface Known {
  fingerprint: string;
  container: EngineContainer;
}

/**
 * The engine's networks and running containers, looked at pass by pass. A container is inspected when its summary in the
 * list changed, when an event marked it, or when the pass is a full one; else its last inspection still holds.
 */
export class Inventory {
  readonly #known = new Map<string, Known>();
  readonly #marked = new Set<string>();
  #allMarked = true;

  constructor(private readonly source: InventorySource) {}

  /** Has a container inspected in the next pass; undefined: all of them. */
  mark(containerId: string | undefined): void {
    if (containerId === undefined) this.#allMarked = true;
    else this.#marked.add(containerId);
  }

  /**
   * One pass. What makes no sense or doesn't answer in time is left out with a warning; a container whose inspection
   * failed though it runs keeps what was known of it, else its endpoints are named in `unsure`.
   * @throws what the two list requests throw: then nothing is known and nothing may be concluded.
   */
  async look(engine: EngineVersion, signal: AbortSignal): Promise<EngineState> {
    const all = this.#allMarked;
    const marked = new Set(this.#marked);
    this.#allMarked = false;
    this.#marked.clear();
    try {
      return await this.#look(engine, all, marked, signal);
    } catch (error) {
      this.#allMarked ||= all;
      for (const id of marked) this.#marked.add(id);
      throw error;
    }
  }

  async #look(
    engine: EngineVersion,
    all: boolean,
    marked: Set<string>,
    signal: AbortSignal,
  ): Promise<EngineState> {
    const warnings: string[] = [];
    const unsure: string[] = [];
    const [rawNetworks, rawContainers] = await Promise.all([
      this.source.networks(signal),
      this.source.containers(signal),
    ]);
    const networks = readNetworks(rawNetworks, warnings);
    const summaries = readSummaries(rawContainers, warnings);
    const containers: EngineContainer[] = [];

    await eachConcurrently(summaries, INSPECT_CONCURRENCY, async ({ summary, fingerprint }) => {
      const known = this.#known.get(summary.Id);
      if (known !== undefined && !all && !marked.has(summary.Id) && known.fingerprint === fingerprint) {
        containers.push(known.container);
        return;
      }
      const container = await this.#inspect(summary, warnings, signal);
      if (container === "gone") return;
      if (container !== "failed") {
        // No namespace yet, which the summary does not tell: asked again in the next pass.
        if (isSettled(container)) this.#known.set(summary.Id, { fingerprint, container });
        else this.#known.delete(summary.Id);
        containers.push(container);
        return;
      }
      this.#marked.add(summary.Id);
      if (known !== undefined && known.fingerprint === fingerprint) containers.push(known.container);
      else unsure.push(...endpointIds(summary));
    });

    const listed = new Set(summaries.map(({ summary }) => summary.Id));
    for (const id of this.#known.keys()) if (!listed.has(id)) this.#known.delete(id);
    containers.sort((a, b) => compare(a.id, b.id));
    networks.sort((a, b) => compare(a.id, b.id));
    return {
      ...engine,
      networks,
      containers,
      unsure: unsure.sort(compare),
      warnings: warnings.sort(compare),
    };
  }

  async #inspect(
    summary: RawContainerSummary,
    warnings: string[],
    signal: AbortSignal,
  ): Promise<EngineContainer | "gone" | "failed"> {
    const name = summary.Names?.[0]?.replace(/^\//, "") ?? summary.Id.slice(0, 12);
    try {
      const parsed = containerSchema.safeParse(await this.source.container(summary.Id, signal));
      if (parsed.success && parsed.data.Id === summary.Id) return normaliseContainer(parsed.data);
      const why = parsed.success ? "another container's id" : issuesLine(parsed.error);
      warnings.push(`container ${printable(name)} left out: the engine's answer makes no sense (${why})`);
    } catch (error) {
      if (error instanceof EngineHttpError && error.status === 404) return "gone";
      if (signal.aborted) throw error;
      warnings.push(`container ${printable(name)} could not be inspected: ${errorMessage(error)}`);
    }
    return "failed";
  }
}

function readNetworks(raw: unknown, warnings: string[]): EngineNetwork[] {
  return asList(raw, "networks").flatMap((item) => {
    const parsed = networkSchema.safeParse(item);
    if (parsed.success) return [normaliseNetwork(parsed.data)];
    warnings.push(
      `network ${label(item, "Name")} left out: the engine's answer makes no sense (${issuesLine(parsed.error)})`,
    );
    return [];
  });
}

function readSummaries(
  raw: unknown,
  warnings: string[],
): { summary: RawContainerSummary; fingerprint: string }[] {
  const seen = new Set<string>();
  return asList(raw, "containers").flatMap((item) => {
    const parsed = containerSummarySchema.safeParse(item);
    if (!parsed.success) {
      warnings.push(
        `container ${label(item, "Id")} left out: the engine's answer makes no sense (${issuesLine(parsed.error)})`,
      );
      return [];
    }
    if (seen.has(parsed.data.Id)) return [];
    seen.add(parsed.data.Id);
    // "Up 3 minutes" changes by itself.
    const { Status: _status, ...rest } = item as Record<string, unknown>;
    return [{ summary: parsed.data, fingerprint: JSON.stringify(rest) }];
  });
}

function asList(raw: unknown, what: string): unknown[] {
  if (raw === null) return [];
  if (!Array.isArray(raw)) throw new Error(`the engine's list of ${what} is no list`);
  return raw;
}

function endpointIds(summary: RawContainerSummary): string[] {
  return Object.values(summary.NetworkSettings?.Networks ?? {})
    .map((endpoint) => endpoint?.EndpointID ?? "")
    .filter((id) => /^[0-9a-f]{64}$/.test(id));
}

function isSettled(container: EngineContainer): boolean {
  if (container.endpoints.length === 0) return true;
  return container.sandboxKey !== "" && container.endpoints.every((e) => e.endpointId !== "");
}

function label(item: unknown, field: string): string {
  const value =
    typeof item === "object" && item !== null ? (item as Record<string, unknown>)[field] : undefined;
  return typeof value === "string" ? printable(value) : "(unnamed)";
}

function printable(text: string): string {
  return JSON.stringify(text.slice(0, 80)).slice(1, -1);
}

/** Runs `work` on every item, at most `limit` at a time. The first error stops the rest and is thrown. */
async function eachConcurrently<T>(
  items: T[],
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  const worker = async () => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
