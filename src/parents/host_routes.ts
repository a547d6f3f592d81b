/**
 * The host's routes to containers on ipvlan and macvlan: on the parent's link, where its program answers for them. They bear a
 * protocol number of ours, which says whose they are to whoever lists them (`ip route show proto 250`), a later daemon and cleanup.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type Address, FAMILIES, type Family, familyOf } from "../ip.js";
import { listLinks, listRoutes, type NetRoute } from "../native/index.js";
import { formatNetwork } from "../networks.js";
import type { PlannedHostRoute } from "../plan/types.js";

/** Of rtnetlink's (linux/rtnetlink.h, RTPROT_*), above those that routing daemons use. */
export const ROUTE_PROTOCOL = 250;
/** Any route of the user's to the same destination comes first. */
const METRIC = 4250;
/** What is there for a device's containers alone comes after the host's own way. */
const METRIC_THROUGH = 4251;
const TIMEOUT_MS = 10_000;

/** What is there of ours. */
export function listHostRoutes(): PlannedHostRoute[] {
  const names = new Map(listLinks().map(({ ifindex, name }) => [ifindex, name]));
  return listRoutes().flatMap((route): PlannedHostRoute[] => {
    if (route.protocol !== ROUTE_PROTOCOL || route.oif === undefined) return [];
    const device = names.get(route.oif) ?? "";
    const through = route.priority === METRIC_THROUGH ? { through: true } : {};
    return [{ destination: destinationOf(route), ifindex: route.oif, device, ...through }];
  });
}

/**
 * Makes the routes as planned: those of ours that are not planned go, those that are missing come.
 * @returns how many came and went
 * @throws Error with ip's words where it can't
 */
export async function applyHostRoutes(
  planned: readonly PlannedHostRoute[],
): Promise<{ added: number; removed: number }> {
  const key = ({ destination, ifindex, through }: PlannedHostRoute) =>
    `${destination} ${ifindex} ${through === true}`;
  const there = listHostRoutes();
  const wanted = new Set(planned.map(key));
  const present = new Set(there.map(key));
  const surplus = there.filter((route) => !wanted.has(key(route)));
  const missing = planned.filter((route) => !present.has(key(route)));
  for (const family of FAMILIES) {
    const of = (routes: readonly PlannedHostRoute[]) =>
      routes.filter(({ destination }) => familyOf(addressOf(destination)) === family);
    for (const route of of(surplus)) await change("del", family, route);
    for (const route of of(missing)) await change("add", family, route);
  }
  return { added: missing.length, removed: surplus.length };
}

/** Takes them all away. Returns the destinations that there were. */
export async function removeHostRoutes(): Promise<string[]> {
  const there = listHostRoutes();
  if (there.length > 0) await applyHostRoutes([]);
  return there.map(({ destination, device }) => `${destination} dev ${device}`);
}

async function change(
  verb: "add" | "del",
  family: Family,
  { destination, device, through }: PlannedHostRoute,
): Promise<void> {
  const metric = `${through ? METRIC_THROUGH : METRIC}`;
  const route = [destination, "dev", device, "proto", `${ROUTE_PROTOCOL}`, "metric", metric];
  await promisify(execFile)("ip", [`-${family}`, "route", verb, ...route], { timeout: TIMEOUT_MS });
}

function destinationOf({ destination, prefixLength }: NetRoute): string {
  return formatNetwork({ address: destination, prefixLength });
}

function addressOf(destination: string): Address {
  return destination.split("/")[0] ?? "";
}
