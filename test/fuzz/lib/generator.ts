// Makes a script from a seed: connections that live beside each other, packets that are wrong in every way, and what time does.

import {
  bridged,
  type Connection,
  direct,
  hairpin,
  masqueraded,
  type Proto,
  published,
  toHost,
} from "./ends.js";
import type { Random } from "./random.js";
import type { FrameStep, Step } from "./script.js";
import { stray } from "./strays.js";
import { TcpFlow } from "./tcp_flow.js";
import { EchoFlow, type Flow, UdpFlow } from "./udp_flow.js";
import type { Family } from "./world.js";

export interface GeneratorOptions {
  readonly families: readonly Family[];
  /** How many connections live at a time. */
  readonly flows: number;
  /** Whether time passes in this script. */
  readonly pauses: boolean;
  /** Whether the daemon dies and comes back in this script, and a container is made anew. */
  readonly upheavals: boolean;
}

/** An endless script. */
export class Generator {
  #flows: Flow[] = [];
  #made = 0;
  #index = 0;
  #down = false;
  #queue: FrameStep[] = [];

  constructor(
    private readonly random: Random,
    private readonly options: GeneratorOptions,
  ) {}

  next(): Step {
    const step = this.#queue.shift() ?? this.#make();
    this.#index++;
    return step;
  }

  #make(): Step {
    const { random } = this;
    if (this.options.pauses && random.chance(0.0008)) return { kind: "pause", ms: 1100 };
    if (random.chance(0.0005)) return { kind: "control", control: "epoch" };
    if (random.chance(0.0003)) return { kind: "control", control: "evict" };
    if (this.options.upheavals && random.chance(0.0006)) return this.#upheaval();
    while (this.#flows.length < this.options.flows) this.#open();
    if (random.chance(0.04)) {
      const family = random.pick(this.options.families);
      return stray(random, family, random.pick(this.#flows));
    }
    const flow = random.pick(this.#flows);
    const [first, ...rest] = flow.next(this.#index);
    this.#queue.push(...rest);
    if (flow.over) this.#flows = this.#flows.filter((one) => one !== flow);
    if (!first) return this.#make();
    return first;
  }

  #upheaval(): Step {
    if (this.#down) {
      this.#down = false;
      return { kind: "control", control: "up" };
    }
    if (this.random.chance(0.4)) return { kind: "control", control: "replace" };
    this.#down = true;
    return { kind: "control", control: "down" };
  }

  #open(): void {
    const { random } = this;
    const family = random.pick(this.options.families);
    const connection = connect(random, family);
    this.#flows.push(flowFor(random, connection, ++this.#made));
  }
}

function connect(random: Random, family: Family): Connection {
  const proto = (): Proto =>
    random.weighted<Proto>([
      [60, "tcp"],
      [35, "udp"],
      [5, "echo"],
    ]);
  return random.weighted<() => Connection>([
    [40, () => published(random, family)],
    [30, () => masqueraded(random, family, proto())],
    [14, () => bridged(random, family, proto())],
    [4, () => direct(random, family, proto())],
    [4, () => hairpin(random, family)],
    [4, () => toHost(random, family, proto())],
  ])();
}

function flowFor(random: Random, connection: Connection, number: number): Flow {
  if (connection.proto === "tcp") return new TcpFlow(random, connection, number);
  if (connection.proto === "udp") return new UdpFlow(random, connection, number);
  return new EchoFlow(random, connection, number);
}
