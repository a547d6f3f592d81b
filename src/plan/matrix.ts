/** Networks whose traffic is counted by pair of endpoints. Pure. */
import type { EngineNetwork } from "../docker/model.js";
import { printable } from "../text.js";
import { MATRIX, readBoolean } from "./labels.js";
import type { PlanWarning } from "./types.js";

/**
 * Reads `fairway.matrix` of networks.
 * @param networks that are not left to the engine
 * @param warnings problems of the label are added to
 * @returns ids of the networks that ask for it, and can have it
 */
export function planMatrix(networks: readonly EngineNetwork[], warnings: PlanWarning[]): Set<string> {
  const asking = new Set<string>();
  for (const { id, name, driver, labels } of networks) {
    const { value, problem } = readBoolean(labels, MATRIX, false);
    const refused =
      value && driver !== "bridge"
        ? `label ${MATRIX} has no effect on a network of driver ${printable(driver)}: frames are counted as they pass a bridge`
        : undefined;
    for (const line of [problem, refused])
      if (line !== undefined)
        warnings.push({
          code: "label",
          message: `network ${printable(name)}: ${line}`,
          transient: false,
        });
    if (value && refused === undefined) asking.add(id);
  }
  return asking;
}
