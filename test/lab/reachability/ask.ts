// Asking the matrix's questions: all of a world's at once.

import { Capture } from "../lib/index.js";
import { destinationOf, type Row, titleOf } from "./rows.js";
import type { World } from "./world.js";

/** What came of a question: the name of whom the server took for its sender, or why there was no answer. */
export type Answer = string;

/** reach.mjs, one question. */
interface Question {
  readonly protocol: string;
  readonly host: string;
  readonly port: number;
  readonly from?: string;
  readonly patience: number;
  readonly size?: number;
}

/** What may not be answered gets a time in which TCP sends its SYN again; what was answered before, time enough for a busy machine. */
const patience = { doubtful: 2200, answered: 15_000 } as const;

/** Words of reach.mjs that are not names. */
const failures = ["refused", "closed", "unreachable", "nothing", "no address"];

/** Whether a question was answered by a server. */
export const isAnswer = (answer: Answer | undefined): boolean =>
  answer !== undefined && !failures.includes(answer);

/** Echoes are told apart by their length, in all of a world's life. */
let echoes = 100;

/**
 * Asks at once, one process for everybody who asks.
 * @param expected what was answered before, by titleOf(): its absence does not make an answer, only gives it less time
 * @returns the answers by titleOf()
 */
export async function ask(
  world: World,
  rows: readonly Row[],
  expected: ReadonlyMap<string, Answer>,
  size?: (row: Row) => number,
): Promise<Map<string, Answer>> {
  const answers = new Map<string, Answer>();
  const lengths = new Map<number, Row>();
  const captures = await captureEchoes(world, rows);
  await Promise.all(
    [...new Set(rows.map(({ from }) => from))].map(async (from) => {
      const asked: Row[] = [];
      const questions: Question[] = [];
      for (const row of rows) {
        if (row.from !== from) continue;
        const host = world.address(row.to.at, row.family);
        if (host === undefined) {
          answers.set(titleOf(row), "no address");
          continue;
        }
        const echo = row.protocol === "ICMP";
        if (echo) lengths.set(++echoes, row);
        asked.push(row);
        const loopback = row.to.at === "127.0.0.1";
        questions.push({
          protocol: row.protocol.toLowerCase(),
          host,
          port: echo ? echoes : row.to.port,
          // The kernel would take a loopback address of its own.
          ...(loopback && { from: world.address(from, row.family) }),
          patience: isAnswer(expected.get(titleOf(row))) ? patience.answered : patience.doubtful,
          ...(size && { size: size(row) }),
        });
      }
      if (asked.length === 0) return;
      const said = await world.namespace(from).ask<string[]>("reach.mjs", [JSON.stringify(questions)]);
      for (const [i, row] of asked.entries()) answers.set(titleOf(row), world.nameOf(said[i] ?? ""));
    }),
  );
  for (const [length, source] of await echoSources(captures)) {
    const row = lengths.get(length);
    if (row && answers.get(titleOf(row)) === "answered") answers.set(titleOf(row), world.nameOf(source));
  }
  return answers;
}

/** Listens for echo requests where they are to arrive. */
async function captureEchoes(world: World, rows: readonly Row[]): Promise<Capture[]> {
  const ends = rows.filter(({ protocol }) => protocol === "ICMP").map(({ to }) => to.at);
  const places = ends.map((at) => (/^(GW |host)/.test(at) ? "host" : (at.split("@")[0] ?? at)));
  const { disposers } = world.lab;
  return Promise.all(
    [...new Set(places)].map((place) =>
      Capture.start(world.namespace(place), { filter: "icmp or icmp6", disposers }),
    ),
  );
}

/** By their lengths, who sent the echo requests that arrived. */
async function echoSources(captures: readonly Capture[]): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  const packets = (await Promise.all(captures.map((capture) => capture.stop()))).flat();
  for (const packet of packets) {
    const match = /(\S+) > \S+: (?:\[[^\]]*\] )?ICMP6?, echo request.* length (\d+)/.exec(packet);
    // Of the host's captures the last one: as it arrives, after all translation.
    if (match) found.set(Number(match[2]) - 8, match[1] ?? "");
  }
  return found;
}

/** For messages. */
export const describeRow = (row: Row): string =>
  `${row.from} -> ${destinationOf(row)}${row.note && `, ${row.note}`}`;
