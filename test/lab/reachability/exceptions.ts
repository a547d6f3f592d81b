// What of the matrix is not as fairway claims, each with its reason. A cell that differs and is not listed here fails. Pure.

import type { Row } from "./rows.js";
import type { Setting } from "./settings.js";
import type { Cell } from "./table.js";

/** Cells that are listed. */
export interface Exception {
  /** The answer differs from that of the engine alone; or a claimed row is slow. */
  readonly what: "answer" | "path";
  readonly applies: (row: Row, setting: Setting, cell: Cell) => boolean;
  readonly reason: string;
}

/** In mode replace. */
const replaced = ({ replaces }: Setting) => replaces !== undefined;

export const exceptions: readonly Exception[] = [
  {
    what: "answer",
    applies: ({ from, to: { at, port } }, setting, { alone }) =>
      replaced(setting) &&
      alone === "nothing" &&
      ["stray", "lone", "linked"].includes(from) &&
      (["lone", "linked"].includes(at) || port === 7024),
    reason:
      "An engine that writes no rules refuses `icc` off for its default bridge: there it is on in mode replace, and `--link` opens nothing " +
      "that was closed. Networks of one's own may have `enable_icc=false`.",
  },
  {
    what: "answer",
    applies: ({ section, to: { port } }, setting, { fairway }) =>
      replaced(setting) &&
      section.startsWith("From a container to a published port") &&
      [7000, 7002].includes(port) &&
      fairway === "GW app",
    reason:
      "In mode replace containers of one network that dial each other's published ports are seen as the gateway, as with docker-proxy. The " +
      "engine without docker-proxy lets the bridge turn such packets back (hairpin) and has iptables see all bridged packets for their answers; " +
      "fairway needs neither, so that the rest of the network's traffic is not the kernel's.",
  },
  {
    what: "answer",
    applies: ({ from }, setting, { alone }) =>
      setting.name === "29, replace" && from === "open" && alone === "nothing",
    reason:
      "Engines from 28 drop what comes to a container's own address from outside its network by a rule that knows no connections, and with it " +
      "the answers to a container that is not masqueraded. fairway's table lets answers in.",
  },
  {
    what: "answer",
    applies: ({ section }, setting, { fairway }) =>
      setting.name === "20.10, replace" &&
      section === "From outside to a container's own address" &&
      fairway === "nothing",
    reason:
      "Before 28 an engine leaves containers' own addresses to FORWARD's policy. fairway's table protects them as later engines do, " +
      "whichever engine it stands in for.",
  },
  {
    what: "answer",
    applies: ({ section, from }, setting, { alone }) =>
      setting.name === "20.10, replace" &&
      section.startsWith("From a container to a published port") &&
      from !== "mute" &&
      alone === "nothing",
    reason:
      "Engine 20.10 without docker-proxy keeps networks so far apart that containers don't reach the published ports of other networks, which " +
      "anybody outside does. fairway's table leads them there as later engines do.",
  },
  {
    what: "answer",
    applies: ({ to: { at }, family }, { name }, { fairway }) =>
      name === "20.10, replace" && at === "inner" && family === "IPv6" && fairway === "inmate",
    reason:
      "Engine 20.10 has no rule by which containers of an internal network reach each other in IPv6, where its FORWARD policy is DROP and " +
      "bridged packets pass it. fairway's table has.",
  },
  {
    what: "path",
    applies: ({ section }, setting) =>
      section === "Between containers of one network" && !setting.userlandProxy && !replaced(setting),
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
  {
    what: "path",
    applies: ({ section, to: { at } }) =>
      section === "From the host to a published port" && at === "GW other",
    reason:
      "A process of the host that dials another network's gateway goes the engine's way: whether that is masqueraded differs between the " +
      "engine's backends.",
  },
  {
    what: "path",
    applies: ({ section, to: { at }, protocol }, { userlandProxy }) =>
      section === "From the host to a published port" &&
      protocol === "UDP" &&
      userlandProxy &&
      ["host", "GW app"].includes(at),
    reason:
      "A connected UDP socket of the host's whose server is to see the address that was dialled would have to be bound to it, which could not " +
      "be undone when it connects elsewhere: it goes the engine's way (TCP, and UDP that is not connected, don't).",
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
export const listedFor = (
  what: Exception["what"],
  row: Row,
  setting: Setting,
  cell: Cell,
): readonly Exception[] =>
  exceptions.filter((exception) => exception.what === what && exception.applies(row, setting, cell));
