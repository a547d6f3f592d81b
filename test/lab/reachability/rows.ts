// The questions of the matrix: who asks, whom, how. Pure.

import { members, publisherOf } from "./cast.js";
import { type Group, questions } from "./questions.js";
import type { Setting } from "./settings.js";

export type Protocol = "TCP" | "UDP" | "ICMP";
export type FamilyName = "IPv4" | "IPv6";

/**
 * Where a question goes: an address by the name of whose it is ("web", "GW app", "host", "host2", "127.0.0.1"; "web@other": its
 * address on that network), and a port, which an echo hasn't.
 */
export interface Destination {
  readonly at: string;
  readonly port: number;
}

/** One question. */
export interface Row {
  readonly section: string;
  readonly from: string;
  readonly to: Destination;
  /** What is special about it, for people. */
  readonly note: string;
  readonly protocol: Protocol;
  readonly family: FamilyName;
  /** The container whose packets tell which path the connection took; none where it is the kernel's in any case. */
  readonly counted?: string;
  /** The fast path claims it: where it is slow, there must be a reason (exceptions.ts). */
  readonly claimed: boolean;
}

/** Containers that only a current engine can have. */
const current =
  /^(routed|unprotected|isolated|hermit|trusting)\b|GW (routed|unprotected|trusting)\b|:703[0-3]$/;

/** Whether a setting's engine has what a row is about. */
export const isFor = (row: Row, { kind }: Setting): boolean =>
  kind !== "20.10" || ![row.from, keyOf(row.to)].some((end) => current.test(end));

const keyOf = ({ at, port }: Destination) => (port === 0 ? at : `${at}:${port}`);

function expand(section: string, group: Group): Row[] {
  const { to, note = "", protocols = "TCP UDP", families = "46", fast, count = fast } = group;
  const [, at = "", port = "0"] = /^(.*?)(?::(\d+))?$/.exec(to) ?? [];
  const froms = typeof group.from === "string" ? [group.from] : group.from;
  return froms.flatMap((from) =>
    (protocols.split(" ") as Protocol[]).flatMap((protocol) =>
      ([...families] as ("4" | "6")[]).map((family): Row => {
        // Echoes leave the network by the kernel; between neighbours they are frames like others, but IPv6's: among them may be
        // neighbour discovery.
        const counted =
          protocol !== "ICMP" || (section === "Between containers of one network" && family === "4");
        return {
          section,
          from,
          to: { at, port: protocol === "ICMP" ? 0 : Number(port) },
          // An echo has no port that could be published.
          note: protocol === "ICMP" ? note.replace(/(^|, )(not )?(published|exposed)$/, "") : note,
          protocol,
          family: `IPv${family}`,
          ...(count && counted && { counted: count }),
          claimed: fast !== undefined && counted,
        };
      }),
    ),
  );
}

/** All of them, in the order of the table. */
export const rows: readonly Row[] = Object.entries(questions).flatMap(([section, groups]) =>
  groups.flatMap((group) => expand(section, group)),
);

/** "AT:PORT", or "AT" of an echo. */
export const destinationOf = (row: Row): string => keyOf(row.to);

/** What tells a row from every other, section and note aside. */
export const titleOf = (row: Row): string =>
  `${row.from} -> ${destinationOf(row)} ${row.protocol} ${row.family}`;

/** The containers that a question has to do with. */
export const endsOf = ({ from, to, counted = "" }: Row): string[] =>
  [from, to.at.split("@")[0] ?? "", publisherOf(to.port) ?? "", counted].filter((end) => end in members);
