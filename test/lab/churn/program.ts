// The churn itself: containers and networks are created, connected, disconnected, restarted, paused, renamed, killed and removed
// in an order that a seed determines (how long each takes is the engine's affair).

import { Random } from "../../fuzz/lib/random.js";
import { type Lab, sleep, until } from "../lib/index.js";
import { ENGINE, type Facts, type Place } from "./facts.js";
import { addressPool, type Net, passingNets, portPool, runNamed, staticNets } from "./world.js";

/** How much of it. */
export interface ChurnOptions {
  readonly seed: number;
  readonly seconds: number;
  /** How many are created at least, over all of the time. */
  readonly containers: number;
  /** How many there are at once at most. */
  readonly atOnce: number;
  /** How many things are done at the same time. */
  readonly workers: number;
}

/** One that comes and goes. */
interface Passer {
  /** The name that it serves, for good. */
  readonly name: string;
  readonly id: string;
  readonly port: number | undefined;
  /** What it was created on: an engine does nothing more with a container whose first network is gone, left or not. */
  readonly first: Net;
  readonly addresses: Map<Net, string>;
  state: "running" | "paused" | "stopped";
  busy: boolean;
}

/** What is given out, and taken back: half of the time what came back last, so that it changes hands at once. */
class Pool<T> {
  #free: T[];

  constructor(all: readonly T[]) {
    this.#free = [...all];
  }

  take(random: Random): T | undefined {
    const at = random.chance(0.5) ? this.#free.length - 1 : random.below(Math.max(1, this.#free.length));
    return this.#free.splice(at, 1)[0];
  }

  giveBack(one: T): void {
    this.#free.push(one);
  }
}

export type Operation =
  | "create"
  | "remove"
  | "connect"
  | "disconnect"
  | "restart"
  | "stop"
  | "start"
  | "kill"
  | "pause"
  | "unpause"
  | "rename"
  | "network create"
  | "network remove";

/** Runs the program. */
export class Churn {
  /** How often each was done. */
  readonly done: Partial<Record<Operation, number>> = {};
  readonly #random: Random;
  readonly #passers: Passer[] = [];
  readonly #passing = new Map<Net, "there" | "busy">();
  readonly #addresses = new Map([...addressPool].map(([net, all]) => [net, new Pool(all)]));
  readonly #ports = new Pool(portPool);
  #created = 0;
  #stop = false;

  constructor(
    private readonly lab: Lab,
    private readonly facts: Facts,
    private readonly options: ChurnOptions,
  ) {
    this.#random = new Random(options.seed);
  }

  get created(): number {
    return this.#created;
  }

  get present(): number {
    return this.#passers.length;
  }

  /** Until the time is up and as many as were asked for have been created. */
  async run(): Promise<void> {
    const began = Date.now();
    const part = () => (Date.now() - began) / (this.options.seconds * 1000);
    const isOver = () => this.#stop || (part() >= 1 && this.#created >= this.options.containers);
    const work = async () => {
      while (!isOver()) if (!(await this.#step(part()))) await sleep(50);
    };
    await Promise.all(Array.from({ length: this.options.workers }, work)).finally(() => {
      this.#stop = true;
    });
  }

  /** Removes all that it made. */
  async clear(): Promise<void> {
    const removeAll = async () => {
      for (let one = this.#passers.at(-1); one !== undefined; one = this.#passers.at(-1))
        await this.#remove(one);
    };
    await Promise.all(Array.from({ length: this.options.workers }, removeAll));
    for (const net of [...this.#passing.keys()]) await this.#removeNetwork(net);
  }

  #docker(...args: string[]) {
    return this.lab.engine.docker(args, { timeout: 120_000 });
  }

  /** Does one thing; false: there is nothing to do just now. */
  async #step(part: number): Promise<boolean> {
    const idle = this.#passers.filter(({ busy }) => !busy);
    const operation = this.#choose(idle, part);
    const one = this.#pickFor(operation, idle);
    const did = await this.#perform(operation, one);
    if (did) this.done[operation] = (this.done[operation] ?? 0) + 1;
    return did;
  }

  /** Whatever is most needed to get through the program in time, else by lot. */
  #choose(idle: readonly Passer[], part: number): Operation {
    const { containers, atOnce } = this.options;
    const full = this.#passers.length >= atOnce;
    const behind = this.#created < Math.min(1, part * 1.1) * containers;
    if (behind && this.#random.chance(0.4)) return full ? "remove" : "create";
    return this.#random.weighted([
      [full ? 0 : 14, "create"],
      [idle.length > atOnce / 3 ? 18 : 4, "remove"],
      [14, "connect"],
      [12, "disconnect"],
      [6, "restart"],
      [5, "stop"],
      [10, "start"],
      [6, "kill"],
      [5, "pause"],
      [10, "unpause"],
      [5, "rename"],
      [4, "network create"],
      [3, "network remove"],
    ] as const);
  }

  #pickFor(operation: Operation, idle: readonly Passer[]): Passer | undefined {
    const states: Partial<Record<Operation, readonly Passer["state"][]>> = {
      remove: ["running", "stopped", "paused"],
      connect: ["running", "stopped"],
      disconnect: ["running", "stopped"],
      restart: ["running"],
      stop: ["running"],
      start: ["stopped"],
      kill: ["running"],
      pause: ["running"],
      unpause: ["paused"],
      rename: ["running", "stopped", "paused"],
    };
    const fit = idle.filter(
      ({ state, addresses }) =>
        states[operation]?.includes(state) && (operation !== "disconnect" || addresses.size > 1),
    );
    return fit.length === 0 ? undefined : this.#random.pick(fit);
  }

  async #perform(operation: Operation, one: Passer | undefined): Promise<boolean> {
    if (operation === "create") return this.#create();
    if (operation === "network create") return this.#createNetwork();
    if (operation === "network remove") return this.#removeSomeNetwork();
    if (one === undefined) return false;
    if (operation === "remove") return this.#remove(one);
    one.busy = true;
    try {
      return await this.#change(operation, one);
    } finally {
      one.busy = false;
    }
  }

  async #change(operation: Operation, one: Passer): Promise<boolean> {
    const { id } = one;
    switch (operation) {
      case "connect":
        return this.#connect(one);
      case "disconnect":
        return this.#disconnect(one);
      case "restart":
        await this.#docker("restart", "-t", "1", id);
        return true;
      case "stop":
        await this.#docker("stop", "-t", "1", id);
        this.#leave(one);
        return true;
      case "kill":
        await this.#docker("kill", id);
        await this.#hasExited(id);
        this.#leave(one);
        return true;
      case "start":
        this.#appear(one);
        await this.#docker("start", id);
        one.state = "running";
        return true;
      case "pause":
        await this.#docker("pause", id);
        one.state = "paused";
        return true;
      case "unpause":
        await this.#docker("unpause", id);
        one.state = "running";
        return true;
      case "rename":
        await this.#docker("rename", id, `${one.name}-${this.#random.below(1_000_000)}`);
        return true;
      default:
        throw new Error(`not a change of a container: ${operation}`);
    }
  }

  /** An engine may say that a container is killed a moment before it is. */
  async #hasExited(id: string): Promise<void> {
    await until(`${id} has exited`, async () => {
      const { stdout } = await this.#docker("inspect", "-f", "{{.State.Running}}", id);
      return stdout.trim() === "false";
    });
  }

  /** All places that it has while it runs. */
  #placesOf({ addresses, port }: Pick<Passer, "addresses" | "port">): Place[] {
    const all: Place[] = [...addresses.values()].map((address): Place => `address ${address}`);
    if (port !== undefined) all.push(`port ${port}`);
    if ([...addresses.keys()].some(({ internal }) => !internal)) all.push("outside");
    return all;
  }

  #appear(one: Pick<Passer, "name" | "addresses" | "port">): void {
    for (const place of this.#placesOf(one)) this.facts.begin(place, one.name);
  }

  #leave(one: Passer): void {
    one.state = "stopped";
    for (const place of this.#placesOf(one)) this.facts.end(place, one.name);
  }

  #takeAddress(nets: readonly Net[]): { net: Net; address: string } | undefined {
    const net = this.#random.pick(nets);
    const address = this.#addresses.get(net)?.take(this.#random);
    return address === undefined ? undefined : { net, address };
  }

  #giveAddressBack(net: Net, address: string): void {
    this.#addresses.get(net)?.giveBack(address);
  }

  #netsThere(): Net[] {
    return [...staticNets, ...[...this.#passing].flatMap(([net, state]) => (state === "there" ? [net] : []))];
  }

  async #create(): Promise<boolean> {
    const place = this.#takeAddress(this.#netsThere());
    if (place === undefined) return false;
    const { net, address } = place;
    const port = net.internal || this.#random.chance(0.25) ? undefined : this.#ports.take(this.#random);
    const name = `c${++this.#created}`;
    const addresses = new Map([[net, address]]);
    this.#appear({ name, addresses, port });
    const { id } = await runNamed(this.lab, name, 10_000 + this.#created, { net, address, port });
    this.#passers.push({ name, id, port, first: net, addresses, state: "running", busy: false });
    return true;
  }

  async #remove(one: Passer): Promise<boolean> {
    this.#passers.splice(this.#passers.indexOf(one), 1);
    if (one.state !== "paused" && this.#random.chance(0.3)) await this.#docker("stop", "-t", "1", one.id);
    await this.#docker("rm", "-f", "-v", one.id);
    if (one.state !== "stopped") this.#leave(one);
    for (const [net, address] of one.addresses) this.#giveAddressBack(net, address);
    if (one.port !== undefined) this.#ports.giveBack(one.port);
    return true;
  }

  async #connect(one: Passer): Promise<boolean> {
    const nets = this.#netsThere().filter((net) => !one.addresses.has(net));
    const place = nets.length === 0 ? undefined : this.#takeAddress(nets);
    if (place === undefined) return false;
    const { net, address } = place;
    const before = this.#placesOf(one);
    one.addresses.set(net, address);
    if (one.state !== "stopped") {
      for (const place of this.#placesOf(one)) if (!before.includes(place)) this.facts.begin(place, one.name);
    }
    await this.#docker("network", "connect", "--ip", address, net.name, one.id);
    return true;
  }

  async #disconnect(one: Passer): Promise<boolean> {
    if (one.addresses.size < 2) return false;
    const [net, address] = this.#random.pick([...one.addresses]);
    const before = this.#placesOf(one);
    await this.#docker("network", "disconnect", net.name, one.id);
    one.addresses.delete(net);
    const after = this.#placesOf(one);
    if (one.state !== "stopped") {
      for (const place of before) if (!after.includes(place)) this.facts.end(place, one.name);
    }
    this.#giveAddressBack(net, address);
    return true;
  }

  async #createNetwork(): Promise<boolean> {
    const net = passingNets.find((one) => !this.#passing.has(one));
    if (net === undefined) return false;
    this.#passing.set(net, "busy");
    // Meanwhile this one takes the rules out that keep networks apart, and puts them back.
    const unguarded = this.lab.engine.kind === "20.10";
    if (unguarded) this.facts.begin("apart", ENGINE);
    await this.lab.engine.createNetwork(net.name, ...net.args);
    if (unguarded) this.facts.end("apart", ENGINE);
    this.#passing.set(net, "there");
    return true;
  }

  async #removeSomeNetwork(): Promise<boolean> {
    const there = [...this.#passing].flatMap(([net, state]) => (state === "there" ? [net] : []));
    if (there.length === 0) return false;
    return this.#removeNetwork(this.#random.pick(there));
  }

  /** With all of its containers, where none of them is being changed. */
  async #removeNetwork(net: Net): Promise<boolean> {
    // Nobody comes to it from now on.
    this.#passing.set(net, "busy");
    // Who was just being created on it or connected to it is a member only now.
    await until(
      `network ${net.name} can be removed`,
      async () => {
        await this.#removeMembers(net);
        return (await this.lab.engine.docker(["network", "rm", net.name], { mayFail: true })).code === 0;
      },
      { every: 300, timeout: 120_000 },
    );
    this.#passing.delete(net);
    return true;
  }

  async #removeMembers(net: Net): Promise<void> {
    const members = () => this.#passers.filter(({ first, addresses }) => first === net || addresses.has(net));
    for (let [one] = members(); one !== undefined; [one] = members()) {
      const member = one;
      await until(`${member.name} is left alone`, () => !member.busy, { timeout: 120_000 });
      if (this.#passers.includes(member)) await this.#remove(member);
    }
  }
}
