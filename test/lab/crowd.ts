// Who reaches whom among everybody in a lab: asked all at once, and compared with what was answered before.

import { families } from "./families.js";
import type { Container, Disposers, Namespace } from "./lib/index.js";
import { Peer, type Question } from "./reachability/peer.js";

/** Where everybody serves. */
const port = 7000;

/** Somebody who listens and asks. */
export interface Member {
  readonly name: string;
  readonly namespace: Namespace;
  /** Where the others ask for it: a place's name, "" for its only one, and the addresses there. */
  readonly places: Readonly<Record<string, Partial<Record<"IPv4" | "IPv6", string>>>>;
}

/** A container as a member. */
export const memberOf = (container: Container): Member => ({
  name: container.name,
  namespace: container.namespace,
  places: { "": Object.fromEntries(families.map((family) => [family.name, family.of(container)])) },
});

/**
 * What came of each question, by "FROM -> TO, IPv4 tcp": the address under which the other saw the question (TCP), "answered" (ping),
 * or "nothing".
 */
export type Answers = ReadonlyMap<string, string>;

/** Among what is expected: whatever is not "nothing". */
export const anything = "anything";

interface Asked {
  readonly title: string;
  readonly from: string;
  readonly question: Question;
}

/** An emulated processor takes its time (test/vm), and starts a ping for each question. */
const isSlow = process.env.FAIRWAY_LAB_PATIENCE !== undefined;
/** ms: silence is taken for an answer; what was answered before may take as long as a busy machine needs. */
const patience = { unknown: isSlow ? 5000 : 2500, heard: isSlow ? 15_000 : 6000 } as const;
/** How often what was answered before is asked for again. */
const rounds = 4;
/** So many ask at the same time. */
const atOnce = isSlow ? 4 : 16;
/** Who starts beside ten others would not be ready in the time in which one has to be. */
const startedAtOnce = 2;

/** Everybody, each with a process of its own. */
export class Crowd {
  private constructor(
    private readonly peers: ReadonlyMap<string, Peer>,
    private readonly questions: readonly Asked[],
  ) {}

  /** Starts everybody; returns when all listen. */
  static async start(members: readonly Member[], disposers: Disposers): Promise<Crowd> {
    const peers = new Map<string, Peer>();
    const waiting = [...members];
    const startNext = async (): Promise<void> => {
      const member = waiting.shift();
      if (member === undefined) return;
      peers.set(member.name, await Peer.start(member.namespace, [port], disposers));
      await startNext();
    };
    await Promise.all(Array.from({ length: startedAtOnce }, startNext));
    const questions = members.flatMap((from) =>
      members.filter((to) => to !== from).flatMap((to) => questionsOf(from.name, to)),
    );
    return new Crowd(peers, questions);
  }

  /** Those of all questions. */
  get titles(): string[] {
    return this.questions.map(({ title }) => title);
  }

  /** Everybody asks everybody; what has no answer is asked twice. */
  async ask(): Promise<Answers> {
    const first = await this.#ask(this.questions, patience.unknown);
    const silent = this.questions.filter(({ title }) => first.get(title) === "nothing");
    return new Map([...first, ...(await this.#ask(silent, patience.unknown))]);
  }

  /** The same; what had an answer before, and has none or another now, is asked again before that counts. */
  async askAgain(before: Answers): Promise<Answers> {
    const answers = new Map(await this.#ask(this.questions, patience.unknown));
    for (let round = 0; round < rounds; round++) {
      const differing = this.questions.filter(
        ({ title }) =>
          before.get(title) !== "nothing" && !isAsExpected(answers.get(title), before.get(title)),
      );
      for (const [title, answer] of await this.#ask(differing, patience.heard)) answers.set(title, answer);
    }
    return answers;
  }

  async #ask(questions: readonly Asked[], patience: number): Promise<Map<string, string>> {
    const waiting = [...new Set(questions.map(({ from }) => from))];
    const answers = new Map<string, string>();
    const askNext = async (): Promise<void> => {
      const from = waiting.shift();
      if (from === undefined) return;
      const own = questions.filter((one) => one.from === from);
      const said = await this.#peer(from).ask(own.map(({ question }) => ({ ...question, patience })));
      for (const [at, { title }] of own.entries()) answers.set(title, nothingOr(said[at] ?? ""));
      await askNext();
    };
    await Promise.all(Array.from({ length: atOnce }, askNext));
    return answers;
  }

  #peer(name: string): Peer {
    const peer = this.peers.get(name);
    if (peer === undefined) throw new Error(`there is no ${name}`);
    return peer;
  }
}

const isAsExpected = (answer: string | undefined, expected: string | undefined) =>
  expected === anything ? answer !== "nothing" : answer === expected;

/** Whether the kernel gives up or the question does is a matter of time. */
const nothingOr = (answer: string) => (answer === "unreachable" ? "nothing" : answer);

function questionsOf(from: string, to: Member): Asked[] {
  return Object.entries(to.places).flatMap(([place, addresses]) =>
    Object.entries(addresses).flatMap(([family, host]) => {
      const title = (protocol: string) => titleOf(from, placeOf(to.name, place), family, protocol);
      return [
        { title: title("tcp"), from, question: { protocol: "tcp", host, port } },
        // Of an echo it is the length.
        { title: title("ping"), from, question: { protocol: "icmp", host, port: 56 } },
      ];
    }),
  );
}

/** How a place of somebody's is called: "neighbour", "neighbour@vlan20". */
const placeOf = (name: string, place: string) => (place === "" ? name : `${name}@${place}`);

/** The key of an answer. */
export const titleOf = (from: string, to: string, family: string, protocol: string) =>
  `${from} -> ${to}, ${family} ${protocol}`;

/** What differs, a line each: readable when it is not empty. */
export function differences(before: Answers, now: Answers): string[] {
  const titles = [...new Set([...before.keys(), ...now.keys()])];
  return titles
    .filter((title) => !isAsExpected(now.get(title), before.get(title)))
    .map((title) => `${title}: was ${before.get(title)}, is ${now.get(title)}`);
}

/** Of those that have an answer "FROM -> TO", without family and protocol, where every one of them has. */
export function reached(answers: Answers): string[] {
  const pairs = new Map<string, boolean>();
  for (const [title, answer] of answers) {
    const [pair = ""] = title.split(",");
    pairs.set(pair, (pairs.get(pair) ?? true) && answer !== "nothing");
  }
  return [...pairs].filter(([, all]) => all).map(([pair]) => pair);
}
