// Plays a script on both hosts and compares, batch by batch.

import { setTimeout as sleep } from "node:timers/promises";
import { type Allowed, allowedDifference, type Oddity } from "./allowed.js";
import { type Both, type Effects, Ports, sameArrival, sameEffects, sideNames } from "./compare.js";
import { flag, protocol } from "./frame.js";
import type { Arrival, Played } from "./player.js";
import { type ControlStep, type FrameStep, frameFor, type PauseStep, type Step } from "./script.js";
import type { Side } from "./side.js";
import { hasFlag, untagged, view } from "./view.js";
import { containerAt } from "./world.js";

/** A step with the number that it had when the script was made; learned ports refer to these. */
export interface Numbered {
  readonly index: number;
  readonly step: Step;
}

/** A step that did not cause the same on both hosts. */
export interface Difference {
  readonly index: number;
  readonly step: FrameStep;
  readonly effects: Effects;
}

/** What playing a script came to. */
export interface Outcome {
  /** The first difference that is not allowed, and all others of its batch. */
  readonly differences: readonly Difference[];
  readonly frames: number;
  /** How often an allowed difference was seen, by name. */
  readonly allowed: ReadonlyMap<Allowed, number>;
  /** Frames that arrived somewhere, on Docker's host. */
  readonly arrivals: number;
}

/** Frames that are sent before the first of them is judged: the more, the less often three processes wait for each other. */
const batchSize = 500;
/** How long nothing may come before a batch that differs is judged. */
const patienceUs = 20_000;

export class Runner {
  /** Is told of each difference that a rule allows. */
  onAllowed: (name: Allowed, difference: Difference) => void = () => {};

  constructor(readonly sides: Both<Side>) {}

  /** Forgets all that earlier scripts left on the hosts. */
  async reset(): Promise<void> {
    await this.sides.fairway.reviveFairway();
    await this.#both(async (side) => {
      await side.forget();
      await side.settle();
    });
  }

  async #both(work: (side: Side) => Promise<unknown>): Promise<void> {
    await Promise.all(sideNames.map((name) => work(this.sides[name])));
  }

  /** Plays steps until there are no more, or a difference is found. */
  async play(steps: Iterable<Numbered>): Promise<Outcome> {
    const run = new Run(this.sides, this.onAllowed);
    const parts = inParts(steps);
    let part = parts.next().value;
    while (part && run.differences.length === 0) {
      if (Array.isArray(part)) {
        const played = run.play(part);
        // The next ones are made while these are played.
        const next = parts.next().value;
        await played;
        part = next;
        continue;
      }
      await this.#pass(part);
      part = parts.next().value;
    }
    return run;
  }

  /** Plays steps one by one: `arrivals` plays its own and returns what it caused. */
  *single(
    steps: readonly Numbered[],
  ): Iterable<Numbered & { readonly arrivals: () => Promise<Both<readonly Arrival[]>> }> {
    const run = new Run(this.sides);
    const none = { docker: [], fairway: [] };
    for (const { index, step } of steps)
      yield {
        index,
        step,
        arrivals: async () => {
          if (step.kind === "frame") return run.effects({ index, step });
          await this.#pass(step);
          return none;
        },
      };
  }

  async #pass(step: PauseStep | ControlStep): Promise<void> {
    if (step.kind === "pause") await sleep(step.ms);
    else await this.control(step);
  }

  async control({ control }: ControlStep): Promise<void> {
    const { fairway } = this.sides;
    if (control === "epoch") await fairway.raiseEpoch();
    else if (control === "evict") await fairway.evict();
    else if (control === "down") await fairway.killFairway();
    else if (control === "up") await fairway.reviveFairway();
    else {
      // Who follows the engine's events has to be there to follow this one.
      await fairway.reviveFairway();
      const one = containerAt.get("a2");
      if (one) await this.#both((side) => side.replaceContainer(one));
    }
  }
}

/** A frame's step with its number. */
interface NumberedFrame {
  readonly index: number;
  readonly step: FrameStep;
}

/** A script's frames in batches, and what is between them. */
function* inParts(
  steps: Iterable<Numbered>,
): Generator<NumberedFrame[] | PauseStep | ControlStep, undefined> {
  let batch: NumberedFrame[] = [];
  for (const { index, step } of steps) {
    if (step.kind === "frame") batch.push({ index, step });
    if (batch.length < batchSize && step.kind === "frame") continue;
    if (batch.length > 0) yield batch;
    batch = [];
    if (step.kind !== "frame") yield step;
  }
  if (batch.length > 0) yield batch;
  return undefined;
}

class Run implements Outcome {
  differences: Difference[] = [];
  frames = 0;
  arrivals = 0;
  readonly allowed = new Map<Allowed, number>();
  #ports = new Ports();
  #odd = new Map<number, Set<Oddity>>();

  constructor(
    private readonly sides: Both<Side>,
    private readonly onAllowed: Runner["onAllowed"] = () => {},
  ) {}

  /** Plays one batch and judges it. */
  async play(batch: readonly NumberedFrame[]): Promise<void> {
    const by = await this.#sendBoth(batch);
    let { differences, allowed } = this.#compare(batch, by);
    if (differences.length > 0) {
      await this.#lateArrivals(by);
      batch.forEach(({ step }, i) => {
        if (!this.#same(step, i, by)) this.#bringHome(step, i, by);
      });
      ({ differences, allowed } = this.#compare(batch, by));
    }
    this.differences = differences;
    for (const [name, difference] of allowed) {
      this.allowed.set(name, (this.allowed.get(name) ?? 0) + 1);
      this.onAllowed(name, difference);
    }
  }

  /** Plays one frame and returns what it caused, unjudged. */
  async effects(frame: NumberedFrame): Promise<Both<readonly Arrival[]>> {
    const by = await this.#sendBoth([frame]);
    await this.#lateArrivals(by);
    return { docker: by.docker.flat(), fairway: by.fairway.flat() };
  }

  /** What a batch's frames caused on each host, frame by frame. */
  async #sendBoth(batch: readonly NumberedFrame[]): Promise<Both<Arrival[][]>> {
    this.frames += batch.length;
    const [docker, fairway] = await Promise.all(sideNames.map((name) => this.#send(this.sides[name], batch)));
    if (!docker || !fairway) throw new Error("unreachable");
    const by: Both<Arrival[][]> = { docker: group(docker, batch), fairway: group(fairway, batch) };
    this.arrivals += docker.arrivals.length;
    batch.forEach(({ index, step }, i) => {
      for (const name of sideNames) this.#ports.learn(name, index, step, by[name][i] ?? []);
    });
    return by;
  }

  #same(step: FrameStep, at: number, by: Both<Arrival[][]>): boolean {
    return sameEffects(step, { docker: by.docker[at] ?? [], fairway: by.fairway[at] ?? [] }, this.#ports);
  }

  /**
   * A busy machine's kernel may handle a frame a little later, when the next one has been sent already: what one host had with
   * this step and the other with a later one is this step's on both.
   */
  #bringHome(step: FrameStep, at: number, by: Both<Arrival[][]>): void {
    for (const name of sideNames) {
      const own = by[name][at];
      const others = by[name === "docker" ? "fairway" : "docker"][at];
      if (!own || !others) continue;
      for (const wanted of others.slice(own.length)) {
        for (const later of by[name].slice(at + 1)) {
          const found = later.findIndex((one) => sameArrival(step, one, wanted, this.#ports));
          if (found < 0) continue;
          own.push(...later.splice(found, 1));
          break;
        }
      }
    }
  }

  #send(side: Side, batch: readonly NumberedFrame[]): Promise<Played> {
    const ports = this.#ports.learned[side.name];
    const positions = new Map(batch.map(({ index }, at) => [index, at]));
    return side.play(
      batch.map(({ step }) => {
        const { from: place, offload, through, learned } = step;
        // A port that this batch will show is filled in by the player.
        const of = learned && positions.get(learned.of);
        return {
          place,
          frame: frameFor(step, ports),
          offload,
          through,
          ...(learned && of !== undefined && { learned: { ...learned, of } }),
        };
      }),
    );
  }

  /** What needed longer comes after the batch's last step. */
  async #lateArrivals(by: Both<Arrival[][]>): Promise<void> {
    const late = await Promise.all(sideNames.map((name) => this.sides[name].play([], patienceUs)));
    late.forEach(({ arrivals }, i) => {
      const name = sideNames[i];
      if (name) by[name].push(arrivals.filter((one) => !isUntimely(one, undefined)));
    });
  }

  /** What has been odd in the step's connection, up to it. */
  #oddities({ flow, odd, frame }: FrameStep): ReadonlySet<Oddity> {
    const known = (flow !== undefined && this.#odd.get(flow)) || new Set<Oddity>();
    if (odd) known.add(odd);
    if (hasFlag(frame, flag.rst)) known.add("rst");
    if (odd === "ip" && hasFlag(untagged(frame), flag.syn)) known.add("slow-syn");
    if (flow !== undefined) this.#odd.set(flow, known);
    return known;
  }

  #compare(
    batch: readonly NumberedFrame[],
    by: Both<Arrival[][]>,
  ): { differences: Difference[]; allowed: [Allowed, Difference][] } {
    const differences: Difference[] = [];
    const allowed: [Allowed, Difference][] = [];
    batch.forEach(({ index, step }, i) => {
      const odd = this.#oddities(step);
      if (this.#same(step, i, by)) return;
      const effects = { docker: by.docker[i] ?? [], fairway: by.fairway[i] ?? [] };
      const sent = frameFor(step, this.#ports.learned.fairway);
      const name = allowedDifference({ step, sent, effects, ports: this.#ports, odd });
      const difference = { index, step, effects };
      if (name) allowed.push([name, difference]);
      else differences.push(difference);
    });
    return { differences, allowed };
  }
}

/** By the number of the frame that caused them, without what comes when it likes. */
function group({ arrivals }: Played, batch: readonly { step: FrameStep }[]): Arrival[][] {
  const groups: Arrival[][] = batch.map(() => []);
  for (const arrival of arrivals)
    if (!isUntimely(arrival, batch[arrival.after]?.step)) groups[arrival.after]?.push(arrival);
  return groups;
}

/** Type and code of an ICMPv6 packet, as one number; undefined for others. */
function icmp6News(frame: Uint8Array): number | undefined {
  const { l4, proto } = view(frame) ?? {};
  if (l4 === undefined || proto !== protocol.icmp6) return undefined;
  return (frame[l4] ?? 0) * 256 + (frame[l4 + 1] ?? 0);
}

/**
 * What has no step of its own. docker-proxy's datagrams: one to the host itself (a broadcast, for instance) comes to a
 * container from its gateway whenever the proxy gets to it, from a port of the kernel's choice. The news, half a
 * minute later, that a packet's last fragment never came, or that a neighbour didn't answer. The host's own neighbour discovery, and its redirects, which
 * are limited by time.
 */
function isUntimely({ place, frame }: Arrival, step: FrameStep | undefined): boolean {
  const seen = view(frame);
  if (seen?.l4 === undefined) return false;
  if (seen.proto === protocol.icmp6 && [133, 134, 135, 136, 137, 143].includes(frame[seen.l4] ?? 0))
    return true;
  if (seen.proto === protocol.icmp6) {
    const news = icmp6News(frame);
    return news === 0x301 || (news === 0x103 && icmp6News(step?.frame ?? frame) !== 0x103);
  }
  if (seen.proto === protocol.icmp) return frame[seen.l4] === 11 && frame[seen.l4 + 1] === 1;
  const one = containerAt.get(place);
  if (!one || seen.proto !== protocol.udp || seen.source !== one.network.gateway[seen.family]) return false;
  if (seen.destination !== one.addresses[seen.family]) return false;
  const through = step?.through;
  return (
    through?.place !== place ||
    through.source !== seen.source ||
    view(step?.frame ?? frame)?.proto !== protocol.udp
  );
}
