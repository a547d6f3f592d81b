// Who may answer where, and since when until when: what probes saw is judged by it afterwards.

/**
 * What may be true for a while: "port 20001" or "address 172.28.1.10" is some container's, "outside" is open to it, "apart" nobody is
 * kept.
 */
export type Place = `port ${number}` | `address ${string}` | "outside" | "apart";

/** Whose doing it is that networks are not kept apart. */
export const ENGINE = "the engine";

/** What a probe saw: somebody answered at a place, asked not before `from`, answered at `to` (ms of the epoch). */
export interface Sighting {
  readonly place: Place;
  readonly name: string;
  readonly from: number;
  readonly to: number;
  /** Who asked whom, for people. */
  readonly how: string;
}

interface Span {
  readonly from: number;
  to: number;
}

/** Spans of time in which a container has a place. They begin before the engine is told, and end after it has done so. */
export class Facts {
  readonly #spans = new Map<string, Span[]>();

  /** From now on. */
  begin(place: Place, name: string): void {
    const key = `${place} ${name}`;
    const spans = this.#spans.get(key) ?? [];
    this.#spans.set(key, spans);
    spans.push({ from: Date.now(), to: Number.POSITIVE_INFINITY });
  }

  /** Until now. */
  end(place: Place, name: string): void {
    const span = this.#spans.get(`${place} ${name}`)?.at(-1);
    if (span === undefined) throw new Error(`${name} never had ${place}`);
    span.to = Math.min(span.to, Date.now());
  }

  /** Whether it was so at any moment of a sighting. */
  explains({ place, name, from, to }: Sighting): boolean {
    const spans = this.#spans.get(`${place} ${name}`) ?? [];
    return spans.some((span) => span.from <= to && span.to >= from);
  }
}

/** A sighting for people. */
export const describeSighting = ({ how, name, from, to }: Sighting): string =>
  `${how} was answered by ${name} (${new Date(from).toISOString()} to ${new Date(to).toISOString()})`;
