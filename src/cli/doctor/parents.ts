import { execFile } from "node:child_process";
import { existsSync, readlinkSync } from "node:fs";
import { basename } from "node:path";
import { promisify } from "node:util";
import type { EngineNetwork, EngineState } from "../../docker/model.js";
import { isUp } from "../../host/devices.js";
import type { HostState } from "../../host/state.js";
import type { NetLink } from "../../native/index.js";
import { compareText } from "../../text.js";
import type { ParentFacts, ParentLink } from "./facts.js";

/** IFF_LOWER_UP of linux/if.h. */
const LOWER_UP = 0x10000;
/** RT_SCOPE_UNIVERSE of linux/rtnetlink.h. */
const GLOBAL = 0;

/** What `ip -d` says of a device and rtnetlink's own list here does not. */
interface Details {
  ifname: string;
  promiscuity?: number;
  parentbus?: string;
  parentdev?: string;
}

type Host = Pick<HostState, "links" | "addresses">;

/** The parents of the engine's ipvlan and macvlan networks; none where the engine can't be asked. */
export async function parentFacts(engine: EngineState | undefined, host: Host): Promise<ParentFacts[]> {
  const networks = new Map<string, EngineNetwork[]>();
  for (const network of engine?.networks ?? []) {
    if ((network.driver !== "ipvlan" && network.driver !== "macvlan") || network.parent === undefined)
      continue;
    networks.set(network.parent, [...(networks.get(network.parent) ?? []), network]);
  }
  if (networks.size === 0) return [];
  const details = await linkDetails();
  const running = (id: string) =>
    (engine?.containers ?? []).filter(
      (one) => one.running && one.endpoints.some(({ networkId }) => networkId === id),
    ).length;
  return [...networks]
    .sort(([one], [other]) => compareText(one, other))
    .map(([device, all]) => ({
      device,
      networks: all.map(({ id, name, driver, mode = "" }) => ({
        name,
        driver: driver === "ipvlan" ? "ipvlan" : "macvlan",
        mode,
        containers: running(id),
      })),
      link: linkFacts(device, host, details),
    }));
}

function linkFacts(
  device: string,
  { links, addresses }: Host,
  details: ReadonlyMap<string, Details>,
): ParentLink | undefined {
  const link = links.find(({ name }) => name === device);
  if (link === undefined) return undefined;
  const lower = lowerOf(link, links);
  const hardware = sysfsOf(details.get((lower ?? link).name));
  return {
    up: isUp(link),
    carrier: (link.flags & LOWER_UP) !== 0,
    kind: link.kind,
    master: links.find(({ ifindex }) => ifindex === link.master)?.name,
    promiscuous: (details.get(device)?.promiscuity ?? 0) > 0,
    addressed: addresses.some(({ ifindex, scope }) => ifindex === link.ifindex && scope === GLOBAL),
    lower: lower && { device: lower.name, up: isUp(lower) },
    driver: hardware && driverOf(hardware),
    wireless: hardware !== undefined && existsSync(`${hardware}/ieee80211`),
  };
}

/** Of a VLAN (of one within another too): the device that its frames leave by in the end. */
function lowerOf(link: NetLink, links: readonly NetLink[]): NetLink | undefined {
  if (link.kind !== "vlan" || link.linkNetnsid !== undefined) return undefined;
  const lower = links.find(({ ifindex }) => ifindex === link.link);
  return lower && (lowerOf(lower, links) ?? lower);
}

/** By bus and name: /sys/class/net may be another network namespace's. */
function sysfsOf({ parentbus, parentdev }: Partial<Details> = {}): string | undefined {
  if (parentbus === undefined || parentdev === undefined) return undefined;
  return `/sys/bus/${parentbus}/devices/${parentdev}`;
}

function driverOf(hardware: string): string | undefined {
  try {
    return basename(readlinkSync(`${hardware}/driver`));
  } catch {
    return undefined;
  }
}

async function linkDetails(): Promise<Map<string, Details>> {
  try {
    const options = { timeout: 10_000, maxBuffer: 64 * 1024 * 1024 };
    const { stdout } = await promisify(execFile)("ip", ["-d", "-j", "link"], options);
    return new Map((JSON.parse(stdout) as Details[]).map((one) => [one.ifname, one]));
  } catch {
    return new Map();
  }
}
