// What of the matrix is not as fairway claims, each with its reason. A cell that differs and is not listed here fails. Pure.

import type { Row } from "./rows.js";
import type { Setting } from "./settings.js";
import type { Cell } from "./table.js";

/** Cells that are listed. */
export interface Exception {
  /** The answer differs from that of the engine alone; or a claimed row is slow. */
  readonly what: "answer" | "path";
  readonly applies: (row: Row, setting: Setting) => boolean;
  readonly reason: string;
}

export const exceptions: readonly Exception[] = [
  {
    what: "path",
    applies: ({ section }, { userlandProxy }) =>
      section === "Between containers of one network" && !userlandProxy,
    reason:
      "Without docker-proxy an engine has the bridge turn packets back to the port that they came from (hairpin), and bridged packets pass iptables, " +
      "so that containers of one network reach each other's published ports by NAT. Answers to these are frames that only the " +
      "kernel can translate back: everything within the network is left to its bridge.",
  },
  {
    what: "path",
    applies: ({ section }, { kind, userlandProxy }) =>
      section.startsWith("From a container to a published port") && kind === "20.10" && userlandProxy,
    reason:
      "Engine 20.10 lets docker-proxy, a process of the host, answer containers that dial a published port of another network.",
  },
];

/** In what a cell is not as it should be. */
export function faultsOf(row: Row, { alone, fairway, path }: Cell): Exception["what"][] {
  return [
    ...(alone === fairway ? [] : (["answer"] as const)),
    ...(row.claimed && path === "slow" ? (["path"] as const) : []),
  ];
}

/** The exceptions that list a fault of a cell. */
export const listedFor = (what: Exception["what"], row: Row, setting: Setting): readonly Exception[] =>
  exceptions.filter((exception) => exception.what === what && exception.applies(row, setting));
