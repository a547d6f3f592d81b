// Questions that are asked all the time: some have to be answered, some by nobody, and of the rest only by whom it may be.

import { Random } from "../../fuzz/lib/random.js";
import { addresses, addresses6, type Background, type Disposers, sleep } from "../lib/index.js";
import type { Question } from "../reachability/peer.js";
import { ENGINE, type Place, type Sighting } from "./facts.js";
import { addressPool, type Net, nets, portPool, type StableName, stable, type World } from "./world.js";

/** Long enough on a machine as busy as it likes. */
const MUST_MS = 20_000;
/** Long enough for a SYN that is sent again. */
const MAY_MS = 1200;
/** How long what steady-flows.mjs saw may have been under way. */
const UNDER_WAY_MS = 2000;

const PAUSE_MS = 200;

const failures = ["refused", "closed", "unreachable", "nothing"];
const protocols = ["tcp", "udp"] as const;

interface Probe {
  readonly who: string;
  readonly question: Question;
  /** The name that has to answer; null: nobody may; a place: whoever has it may. */
  readonly expected: StableName | Place | null;
}

/** Somebody was reached who must not be. */
export const asTrespass = ({ how, name, from, to }: Omit<Sighting, "place">): Sighting => ({
  place: "apart",
  name: ENGINE,
  from,
  to,
  how: `${how} (${name})`,
});

const isStable = (expected: Probe["expected"]): expected is StableName =>
  expected !== null && expected in stable;

const both = (who: string, host: string, port: number, expected: Probe["expected"]): Probe[] =>
  protocols.map((protocol) => ({
    who,
    question: { protocol, host, port, patience: isStable(expected) ? MUST_MS : MAY_MS },
    expected,
  }));

/** What goes on undisturbed, whatever becomes of others. */
const allowed: readonly Probe[] = [
  ...both("client", addresses.host, stable["web-a"].port, "web-a"),
  ...both("client", addresses.host, stable["web-b"].port, "web-b"),
  ...both("client", addresses6.host, stable["web-a"].port, "web-a"),
  ...both("host", "127.0.0.1", stable["web-a"].port, "web-a"),
  ...both("spy-a", stable["web-a"].address, 7000, "web-a"),
  // Not by UDP: docker-proxy answers from the network's gateway, where the engine does not translate (20.10).
  ...both("spy-a", addresses.host, stable["web-b"].port, "web-b").slice(0, 1),
];

const inNet = (who: string, net: Net, expected: (address: string) => Probe["expected"]): Probe[] =>
  (addressPool.get(net) ?? []).flatMap((address) => both(who, address, 7000, expected(address)));

/** What leads to whoever is there, or to nobody. */
function changing(): Probe[] {
  const all: Probe[] = [];
  for (const port of portPool) {
    all.push(...both("client", addresses.host, port, `port ${port}`));
    all.push(...both("client", addresses6.host, port, `port ${port}`));
    all.push(...both("host", "127.0.0.1", port, `port ${port}`));
    all.push(...both("host", addresses.host, port, `port ${port}`));
    all.push(...both("spy-a", addresses.host, port, `port ${port}`));
  }
  for (const net of addressPool.keys()) {
    const own = (it: Net) => (net === it ? (address: string): Place => `address ${address}` : () => null);
    all.push(...inNet("spy-a", net, own(nets.a)));
    all.push(...inNet("spy-vault", net, own(nets.vault)));
    // Not even its own network's: they don't talk to each other.
    all.push(...inNet("spy-shy", net, () => null));
  }
  all.push(...both("spy-vault", addresses.host, stable["web-a"].port, null));
  all.push(...both("spy-shy", stable["web-a"].address, 7000, null));
  all.push(...both("spy-vault", stable["web-b"].address, 7000, null));
  return all;
}

/** How many of those are asked at once, by everybody together. */
const AT_ONCE = 90;

/** Asks until it is stopped. */
export class Probes {
  readonly sightings: Sighting[] = [];
  /** What had to be answered and was not; a line each. */
  readonly wrong: string[] = [];
  /** What was answered though nobody may. */
  readonly trespasses: Sighting[] = [];
  asked = { must: 0, may: 0, answered: 0 };
  readonly #random: Random;
  readonly #flows: { who: string; process: Background }[] = [];
  #loops: Promise<unknown> = Promise.resolve();
  #stop = false;

  constructor(
    private readonly world: World,
    seed: number,
  ) {
    this.#random = new Random(seed, 1);
  }

  /** Starts asking. A loop that fails fails stop(). */
  async start(disposers: Disposers): Promise<void> {
    const { lab, containers } = this.world;
    const spy = containers.get("spy-a");
    if (spy === undefined) throw new Error("no spy");
    const places = [
      ["client", lab.client, portPool.map((port) => `${addresses.host},${port}`)],
      ["spy-a", spy.namespace, (addressPool.get(nets.a) ?? []).map((address) => `${address},7000`)],
    ] as const;
    for (const [who, namespace, targets] of places) {
      const process = namespace.agent("steady-flows.mjs", targets, disposers);
      await process.waitFor(/ready/);
      this.#flows.push({ who, process });
    }
    this.#loops = Promise.all([this.#repeat(() => allowed), this.#repeat(() => this.#some())]);
    this.#loops.catch(() => {}); // Told by stop().
  }

  /** Ends the asking. */
  async stop(): Promise<void> {
    this.#stop = true;
    await this.#loops;
    for (const { who, process } of this.#flows) {
      await process.stop();
      this.#readFlows(who, process.stdout);
    }
  }

  #some(): Probe[] {
    const all = this.#all;
    return Array.from({ length: AT_ONCE }, () => this.#random.pick(all));
  }

  readonly #all = changing();

  async #repeat(probes: () => readonly Probe[]): Promise<void> {
    while (!this.#stop) {
      const round = probes();
      await Promise.all([...new Set(round.map(({ who }) => who))].map((who) => this.#ask(who, round)));
      // The machine is for the engine as well.
      await sleep(PAUSE_MS);
    }
  }

  async #ask(who: string, round: readonly Probe[]): Promise<void> {
    const own = round.filter((probe) => probe.who === who);
    const from = Date.now();
    const answers = await this.world.peers.get(who)?.ask(own.map(({ question }) => question));
    const to = Date.now();
    for (const [i, { question, expected }] of own.entries()) {
      const how = `${who} -> ${question.protocol} ${question.host} ${question.port}`;
      this.#judge(how, expected, (answers?.[i] ?? "").trim(), from, to);
    }
  }

  #judge(how: string, expected: Probe["expected"], answer: string, from: number, to: number): void {
    const answered = !failures.includes(answer);
    if (answered) this.asked.answered++;
    if (isStable(expected)) {
      this.asked.must++;
      if (answer !== expected)
        this.wrong.push(`${how}: ${answer} instead of ${expected}, ${new Date(to).toISOString()}`);
      return;
    }
    this.asked.may++;
    if (!answered) return;
    if (expected === null) this.trespasses.push(asTrespass({ how, name: answer, from, to }));
    else this.sightings.push({ place: expected, name: answer, from, to, how });
  }

  #readFlows(who: string, said: string): void {
    // Who comes to an address that was another's has the same name for a place: the port, or the address.
    for (const line of said.split("\n")) {
      if (!line.startsWith("{") || !line.endsWith("}")) continue;
      const { target, name, at } = JSON.parse(line) as { target: string; name: string; at: number };
      const [address, port] = target.split(",");
      const place: Place = who === "client" ? `port ${Number(port)}` : `address ${address}`;
      this.sightings.push({
        place,
        name,
        from: at - UNDER_WAY_MS,
        to: at,
        how: `${who} -> steady ${target}`,
      });
    }
  }
}
