import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Pins } from "../../datapath/pins.js";
import { BpfLink, clsactFilters, type NetLink, supportsTcx, tcxPrograms } from "../../native/index.js";
import type { ForeignProgram } from "./facts.js";

const run = promisify(execFile);
const DIRECTIONS = ["ingress", "egress"] as const;
/** Our filters by clsact are called after our programs. */
const OURS_BY_CLSACT = /^(uplink|endpoint|ipvlan)_(in|e)/;

/** The programs at these devices that are not ours: those whose links we have not pinned. */
export async function foreignPrograms(devices: readonly NetLink[], pins: Pins): Promise<ForeignProgram[]> {
  const ours = ownPrograms(pins);
  const names = await programNames();
  const called = (id: number) => names.get(id) ?? `program ${id}`;
  const found: ForeignProgram[] = [];
  const tcx = supportsTcx();
  const xdp = await xdpPrograms();
  for (const { ifindex, name: device } of devices) {
    for (const direction of DIRECTIONS) {
      const hook = `tc ${direction}` as const;
      const byTcx = tcx ? orNone(() => tcxPrograms({ ifindex, direction })) : [];
      for (const id of byTcx) if (!ours.has(id)) found.push({ device, hook, name: called(id) });
      for (const { kind, programId } of orNone(() => clsactFilters({ ifindex, direction }))) {
        const name = programId === undefined ? kind : called(programId);
        if (programId === undefined || (!ours.has(programId) && !OURS_BY_CLSACT.test(name)))
          found.push({ device, hook, name });
      }
    }
    const id = xdp.get(device);
    if (id !== undefined && !ours.has(id)) found.push({ device, hook: "XDP", name: called(id) });
  }
  return found;
}

function ownPrograms(pins: Pins): Set<number> {
  const ours = new Set<number>();
  for (const name of pins.list(pins.links)) {
    const link = BpfLink.openPinned(pins.link(name));
    ours.add(link.info.programId);
    link.close();
  }
  return ours;
}

/** A device that is gone by now has none. */
function orNone<T>(list: () => T[]): T[] {
  try {
    return list();
  } catch {
    return [];
  }
}

/** By id, where bpftool is there to tell. */
async function programNames(): Promise<Map<number, string>> {
  const list = await json("bpftool", ["-j", "prog", "list"]);
  return new Map(list.flatMap(({ id, name }) => (typeof name === "string" ? [[Number(id), name]] : [])));
}

/** By device. */
async function xdpPrograms(): Promise<Map<string, number>> {
  const list = await json("ip", ["-j", "link"]);
  return new Map(
    list.flatMap(({ ifname, xdp }) => {
      const id = (xdp as { prog?: { id?: number } } | undefined)?.prog?.id;
      return id === undefined ? [] : [[String(ifname), id]];
    }),
  );
}

async function json(command: string, args: string[]): Promise<Record<string, unknown>[]> {
  try {
    const { stdout } = await run(command, args, { timeout: 10_000, maxBuffer: 64 * 1024 * 1024 });
    return JSON.parse(stdout) as Record<string, unknown>[];
  } catch {
    return [];
  }
}
