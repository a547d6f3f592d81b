import type { EngineContainer, EngineNetwork, EngineState } from "../docker/model.js";
import { projects } from "./containers.js";

/** What the engine has that labels tell besides what is read. */
export interface EngineNames {
  /** A container's compose project by its id; "" for one that is not known (any more). */
  projectOf(containerId: string): string;
  networkOf(name: string): EngineNetwork | undefined;
}

/**
 * What is made of readings for their series' labels, kept from scrape to scrape: a thousand containers' would be ten thousand arrays each
 * time. A reading is known by its place, and by being the same object as in the last scrape.
 */
export class KeptLabels<T extends object, L> {
  #containers: readonly EngineContainer[] = [];
  #networks: readonly EngineNetwork[] = [];
  #names = namesIn(this.#containers, this.#networks);
  #readings: T[] = [];
  #labels: L[] = [];
  #place = 0;

  /** @param make nothing in the reading that it looks at changes while that is the same object */
  constructor(private readonly make: (reading: T, names: EngineNames) => L) {}

  /** Another scrape begins. With other containers or networks than at the last one, nothing is kept. */
  begin(state: EngineState | undefined): void {
    this.#readings.length = Math.min(this.#readings.length, this.#place);
    this.#labels.length = this.#readings.length;
    this.#place = 0;
    const { containers = [], networks = [] } = state ?? {};
    if (state !== undefined && containers === this.#containers && networks === this.#networks) return;
    [this.#containers, this.#networks] = [containers, networks];
    this.#names = namesIn(containers, networks);
    this.#readings = [];
  }

  /** Of the next reading. */
  next(reading: T): L {
    const place = this.#place++;
    if (this.#readings[place] !== reading) {
      this.#readings[place] = reading;
      this.#labels[place] = this.make(reading, this.#names);
    }
    return this.#labels[place] as L;
  }
}

function namesIn(containers: readonly EngineContainer[], networks: readonly EngineNetwork[]): EngineNames {
  const byName = new Map(networks.map((network) => [network.name, network]));
  return { projectOf: projects(containers), networkOf: (name) => byName.get(name) };
}
