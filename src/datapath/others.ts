/**
 * Another fairway in the same network namespace. Two would undo each other's sysctl, take each other's redirected packets for foreign
 * ones and, in mode replace, write the same table: there can be one, and it follows one engine.
 */
import { errorCode, UserError } from "../errors.js";
import { BpfLink, type Direction, listLinks, tcxPrograms } from "../native/index.js";
import { attachedProgramOf } from "./links.js";
import type { Pins } from "./pins.js";

/**
 * Looks at what is attached by TCX at the devices of this network namespace. (By clsact, before Linux 6.6, another one's filters
 * can't be told from those that a former run of our own has left.)
 * @param pins whatever is pinned there is our own
 * @throws UserError when a program of fairway's is attached that is not pinned there, whether its daemon runs or not
 */
export function refuseOtherDatapath(pins: Pins): void {
  const own = ownPrograms(pins);
  for (const { ifindex, name: device } of listLinks()) {
    for (const direction of ["ingress", "egress"] as const) {
      for (const id of programsAt(ifindex, direction)) {
        const program = own.has(id) ? undefined : attachedProgramOf(id, direction);
        if (program === undefined) continue;
        throw new UserError(
          `another fairway is attached in this network namespace (${program} at ${device}), and there can be one`,
          {
            remedy: "stop that one and take it away with fairway cleanup, told its --bpffs and --state-dir",
          },
        );
      }
    }
  }
}

function ownPrograms(pins: Pins): Set<number> {
  const ids = new Set<number>();
  for (const name of pins.list(pins.links)) {
    try {
      const link = BpfLink.openPinned(pins.link(name));
      ids.add(link.info.programId);
      link.close();
    } catch {
      // Defunct, or no link.
    }
  }
  return ids;
}

function programsAt(ifindex: number, direction: Direction): number[] {
  try {
    return tcxPrograms({ ifindex, direction });
  } catch (error) {
    // The device is gone by now.
    if (errorCode(error) === "ENODEV") return [];
    throw error;
  }
}
