import { existsSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import { errorMessage, UserError } from "../errors.js";
import { writeSysctl } from "../host/sysctl.js";
import { supportsTcx } from "../native/index.js";
import { somebodyListens } from "../unix_socket.js";
import { GracePeriods } from "./grace_periods.js";
import { handOverFlows } from "./handover.js";
import { detachAll } from "./links.js";
import { isOurs } from "./namespace.js";
import { Pins, unmountOwn } from "./pins.js";
import { StateFile } from "./state_file.js";

export interface CleanupOptions {
  bpffs: string;
  stateDir: string;
  log: Logger;
  /** Takes our tables of nftables away; returns the names of those that there were. */
  removeTables: () => Promise<string[]>;
  /** Takes our routes away; returns those that there were. */
  removeRoutes: () => Promise<string[]>;
}

/** What `cleanup` found and removed. All empty: there was nothing of fairway. */
export interface CleanupReport {
  /** Pinned names: "endpoint_ingress-12", ... */
  links: string[];
  programs: string[];
  maps: string[];
  /** Connections whose conntrack entry was made fit to go on through the kernel. */
  flowsHandedOver: number;
  /** Of nftables: "inet fairway" (mode replace's), "inet fairway_parents". */
  tables: string[];
  /** To containers on ipvlan and macvlan: "192.168.1.0/24 dev eth0". */
  routes: string[];
  /** Sysctls put back: "net.netfilter.nf_conntrack_tcp_be_liberal=0", ... */
  sysctls: string[];
  /** Files removed under the state directory. */
  files: string[];
}

/**
 * Takes fairway off the host without breaking a connection: live flows are handed to the kernel's tracker, then links
 * are detached, sysctls put back, pins and state removed. Needs no daemon; a second run finds nothing.
 * @throws UserError while a daemon is running, which would put everything back
 */
export async function cleanup(options: CleanupOptions): Promise<CleanupReport> {
  const { log } = options;
  const socket = join(options.stateDir, "fairway.sock");
  if (await somebodyListens(socket)) {
    throw new UserError(`fairway is running (it listens at ${socket})`, {
      remedy: "stop it first (its traffic goes on), then clean up",
    });
  }
  const pins = new Pins(options.bpffs);
  const state = new StateFile(options.stateDir);
  const ours = isOurs(state, pins);
  const saved = state.read();
  const had = { pins: pins.exists(), state: existsSync(state.path) };

  let handedOver = had.pins ? handOverFlows(pins, log) : 0;
  const tcx = supportsTcx();
  const gracePeriods = new GracePeriods(state, log);
  gracePeriods.restore();
  const detach = () => detachAll(pins, tcx, log);
  const links = tcx ? (had.pins ? gracePeriods.expedited(detach) : []) : detach();
  // Once more: connections that were made while the first round ran. From here on nothing makes flows any more.
  if (links.length > 0) handedOver += handOverFlows(pins, log);

  // Where there is no datapath either, a table of this name is somebody else's.
  const tables = ours ? await options.removeTables() : [];
  const routes = ours ? await options.removeRoutes() : [];
  const sysctls: string[] = [];
  for (const [name, value] of Object.entries(ours ? saved.sysctls : {})) {
    try {
      writeSysctl(name, value);
      sysctls.push(`${name}=${value}`);
    } catch (error) {
      log.warn({ sysctl: name, value, error: errorMessage(error) }, "sysctl could not be put back");
    }
  }
  const removed = had.pins ? pins.remove() : { links: [], programs: [], maps: [] };
  if (saved.mounted !== undefined) unmount(saved.mounted, log);
  const files = removeState(options.stateDir, state);
  return {
    links,
    programs: removed.programs,
    maps: removed.maps,
    flowsHandedOver: handedOver,
    tables,
    routes,
    sysctls,
    files,
  };
}

function unmount(path: string, log: Logger): void {
  try {
    unmountOwn(path);
  } catch (error) {
    log.warn({ path, error: errorMessage(error) }, "our BPF file system could not be unmounted");
  }
}

function removeState(directory: string, state: StateFile): string[] {
  const files = [state.path, join(directory, "fairway.sock")].filter((path) => existsSync(path));
  state.remove();
  for (const path of files) rmSync(path, { force: true });
  try {
    rmdirSync(directory);
  } catch {
    // Not there, or someone else's files are in it.
  }
  return files;
}
