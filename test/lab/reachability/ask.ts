// Asking the matrix's questions: all of a world's at once.

import { Capture, until } from "../lib/index.js";
import type { Question } from "./peer.js";
import { type Row, titleOf } from "./rows.js";
import type { World } from "./world.js";

/** What came of a question: the name of whom the server took for its sender, or why there was no answer. */
export type Answer = string;

/**
 * Silence is taken for an answer after a time in which TCP sends its SYN again; where something else was heard before, a machine may
 * be as busy as it likes.
 */
const patience = { silence: 1700, unknown: 5000, heard: 15_000 } as const;

const patienceFor = (before: Answer | undefined): number =>
  before === undefined ? patience.unknown : before === "nothing" ? patience.silence : patience.heard;

/** Words of reach.mjs that are not names. */
const failures = ["refused", "closed", "unreachable", "nothing"];

/** Whether a question was answered by a server. */
export const isAnswer = (answer: Answer | undefined): boolean =>
  answer !== undefined && !failures.includes(answer);

/** Echoes are told apart by their length, in all of a world's life. */
let echoes = 100;

/**
 * Asks at once.
 * @param expected what was answered before, by titleOf(): only tells for what to wait longer
 * @returns the answers by titleOf()
 */
export async function ask(
  world: World,
  rows: readonly Row[],
  expected: ReadonlyMap<string, Answer>,
): Promise<Map<string, Answer>> {
  const lengths = new Map<Row, number>();
  for (const row of rows) if (row.protocol === "ICMP") lengths.set(row, ++echoes);
  const captures = await captureEchoes(world, [...lengths.keys()]);
  const answers = await askAll(world, rows, (row) => ({
    patience: patienceFor(expected.get(titleOf(row))),
    port: lengths.get(row) ?? row.to.port,
  }));
  const sources = await echoSources(
    captures,
    [...lengths].filter(([row]) => isAnswer(answers.get(titleOf(row)))),
  );
  for (const [row, source] of sources) answers.set(titleOf(row), world.nameOf(source));
  return answers;
}

/** Asks for more, where all were answered before: bytes of TCP, datagrams, echoes (these by "answered"). */
export const askForMore = (
  world: World,
  rows: readonly Row[],
  sizes: Readonly<Record<Row["protocol"], number>>,
): Promise<Map<string, Answer>> =>
  askAll(world, rows, ({ protocol, to: { port } }) => ({
    patience: patience.heard,
    port: protocol === "ICMP" ? 100 : port,
    size: sizes[protocol],
  }));

type Details = Pick<Question, "port" | "patience" | "size">;

async function askAll(
  world: World,
  rows: readonly Row[],
  details: (row: Row) => Details,
): Promise<Map<string, Answer>> {
  const answers = new Map<string, Answer>();
  const askFrom = async (from: string) => {
    const asked: Row[] = [];
    const questions: Question[] = [];
    for (const row of rows) {
      if (row.from !== from) continue;
      const host = world.address(row.to.at, row.family);
      if (host === undefined) throw new Error(`${titleOf(row)}: there is no such address`);
      asked.push(row);
      const protocol = row.protocol.toLowerCase() as Question["protocol"];
      // The kernel would choose a loopback address of its own.
      const own = row.to.at === "127.0.0.1" ? world.address(from, row.family) : undefined;
      questions.push({ protocol, host, ...(own !== undefined && { from: own }), ...details(row) });
    }
    const said = await world.peer(from).ask(questions);
    for (const [i, row] of asked.entries()) answers.set(titleOf(row), world.nameOf(said[i] ?? ""));
  };
  await Promise.all([...new Set(rows.map(({ from }) => from))].map(askFrom));
  return answers;
}

/** Where an echo request is to arrive. */
const arrivesAt = ({ to: { at } }: Row) => (/^(GW |host)/.test(at) ? "host" : (at.split("@")[0] ?? at));

/** Listens for echo requests where they are to arrive. */
async function captureEchoes(world: World, echoRows: readonly Row[]): Promise<Map<string, Capture>> {
  const filter = "inbound and (icmp[icmptype] == icmp-echo or icmp6[icmp6type] == icmp6-echo)";
  const { disposers } = world.lab;
  const start = async (place: string) =>
    [
      place,
      await Capture.start(world.peer(place).namespace, { filter, headersOnly: true, disposers }),
    ] as const;
  return new Map(await Promise.all([...new Set(echoRows.map(arrivesAt))].map(start)));
}

/** Who sent the echo requests that were answered, as they arrived. @param answered each with its length */
async function echoSources(
  captures: ReadonlyMap<string, Capture>,
  answered: readonly (readonly [Row, number])[],
): Promise<Map<Row, string>> {
  const sources = new Map<Row, string>();
  const unseen = () => answered.map(([row]) => row).filter((row) => !sources.has(row));
  const seeAll = () => {
    const seen = new Map([...captures].map(([place, { packets }]) => [place, echoesIn(packets)]));
    for (const [row, length] of answered) {
      const source = seen.get(arrivesAt(row))?.get(length);
      if (source !== undefined) sources.set(row, source);
    }
    return unseen().length === 0;
  };
  await until("every echo that was answered is seen to arrive", seeAll, { timeout: 5000 }).catch((error) => {
    throw new Error(unseen().map(titleOf).join(", "), { cause: error });
  });
  await Promise.all([...captures.values()].map((capture) => capture.stop()));
  return sources;
}

/** By the length of the echo, who sent it. */
function echoesIn(packets: readonly string[]): Map<number, string> {
  const found = new Map<number, string>();
  for (const packet of packets) {
    const ipv4 = /length (?<total>\d+)\)\s+(?<from>\S+) > \S+: ICMP echo request/.exec(packet);
    const match = ipv4 ?? /length: (?<total>\d+)\) (?<from>\S+) > .* echo request/.exec(packet);
    const { total, from } = match?.groups ?? {};
    const headers = ipv4 ? 28 : 8;
    if (from) found.set(Number(total) - headers, from);
  }
  return found;
}
