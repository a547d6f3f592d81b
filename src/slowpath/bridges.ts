import type { EngineState } from "../docker/model.js";
import type { NetLink } from "../native/index.js";

/** An engine makes a network's bridge first and lists the network then: a bridge that it never lists is somebody else's. */
const UNLISTED_MS = 3_000;

/** Knows of which bridges it is known whose they are. */
export class Bridges {
  /** By ifindex: when a bridge was first seen that the engine did not list, ms. */
  readonly #unlistedSince = new Map<number, number>();
  readonly #others = new Set<number>();
  #first = true;
  #unsettled = false;

  /** Some bridge is not listed by the engine, but not for long enough to be somebody else's. */
  get unsettled(): boolean {
    return this.#unsettled;
  }

  /**
   * The ifindexes of the engine's bridges, and of others' that have been there long enough; of the latter at once what was there
   * before we were.
   * @param links the host's, listed after the engine's networks
   * @param now ms; undefined: the engine does not say which networks it has now
   */
  known(engine: EngineState, links: readonly NetLink[], now: number | undefined): number[] {
    const bridges = links.filter(({ kind }) => kind === "bridge");
    const listed = new Set(engine.networks.map(({ bridgeName }) => bridgeName));
    const [own, unlisted] = [true, false].map((is) => bridges.filter(({ name }) => listed.has(name) === is));
    this.#forgetAllBut(new Set((unlisted ?? []).map(({ ifindex }) => ifindex)));
    if (now !== undefined) this.#judge(unlisted ?? [], now);
    this.#unsettled = this.#unlistedSince.size > 0;
    return [...(own ?? []).map(({ ifindex }) => ifindex), ...this.#others];
  }

  #judge(unlisted: readonly NetLink[], now: number): void {
    for (const { ifindex } of unlisted) {
      if (this.#others.has(ifindex)) continue;
      const since = this.#unlistedSince.get(ifindex) ?? now;
      if (this.#first || now - since >= UNLISTED_MS) {
        this.#others.add(ifindex);
        this.#unlistedSince.delete(ifindex);
      } else {
        this.#unlistedSince.set(ifindex, since);
      }
    }
    this.#first = false;
  }

  #forgetAllBut(unlisted: ReadonlySet<number>): void {
    for (const ifindex of this.#others) if (!unlisted.has(ifindex)) this.#others.delete(ifindex);
    for (const ifindex of this.#unlistedSince.keys())
      if (!unlisted.has(ifindex)) this.#unlistedSince.delete(ifindex);
  }
}
