import { UserError } from "../errors.js";
import { listLinks, type NetLink } from "../native/index.js";
import { isPart, linkLayer } from "./devices.js";

/**
 * Checks the uplinks that the user named against the devices that there are.
 * @throws UserError for one that doesn't exist, naming those that do, and for one that can't be an uplink.
 */
export function checkUplinks(names: string[], links: NetLink[] = listLinks()): void {
  const remedy = () => `choose of ${candidates(links).join(", ") || "(no device that leads outside here)"}`;
  const byIndex = new Map(links.map((l) => [l.ifindex, l]));
  for (const name of names) {
    const link = links.find((l) => l.name === name);
    if (link === undefined) {
      const shown = JSON.stringify(name.slice(0, 64));
      throw new UserError(`no uplink ${shown} on this host`, { remedy: remedy() });
    }
    if (linkLayer(link) === undefined) {
      throw new UserError(`${name} can't be an uplink: its packets are neither Ethernet's nor plain IP`, {
        remedy: remedy(),
      });
    }
    if (isPart(link, byIndex)) {
      const whole = byIndex.get(link.master ?? -1)?.name ?? "";
      throw new UserError(`${name} can't be an uplink: it is part of ${whole}, where routed packets appear`, {
        remedy: `name ${whole}`,
      });
    }
  }
}

/** Devices that can be uplinks, but for bridges: those are mostly the engine's. */
function candidates(links: NetLink[]): string[] {
  const byIndex = new Map(links.map((l) => [l.ifindex, l]));
  return links
    .filter((l) => linkLayer(l) !== undefined && l.kind !== "bridge" && !isPart(l, byIndex))
    .map((l) => l.name)
    .sort();
}
