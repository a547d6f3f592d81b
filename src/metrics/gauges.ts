import { Gauge, type Registry } from "prom-client";

/**
 * A gauge without labels that has no series while there is nothing to tell (prom-client's own starts at 0, which would
 * be a claim).
 */
export class SingleGauge {
  readonly #gauge: Gauge<never>;

  constructor(registry: Registry, name: string, help: string) {
    this.#gauge = new Gauge<never>({ name, help, labelNames: [], registers: [registry] });
    this.clear();
  }

  set(value: number): void {
    this.#gauge.set(value);
  }

  clear(): void {
    this.#gauge.remove();
  }
}
