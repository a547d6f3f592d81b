import { join } from "node:path";
import type { DaemonStatus } from "../controller/daemon.js";
import type {
  EndpointReading,
  HostPortReading,
  MapReading,
  PortReading,
  ReasonReading,
} from "../datapath/reader.js";
import { errorCode, errorMessage, UserError } from "../errors.js";
import { type Answer, get } from "./http.js";

/** The daemon's control socket: HTTP over a unix socket, and the lock that keeps a second daemon away. */
export function socketPath(stateDir: string): string {
  return join(stateDir, "fairway.sock");
}

/**
 * Asks the daemon for one of its resources.
 * @returns undefined when no daemon is running: no socket, or nobody who listens at it
 * @throws UserError when there is one that can't be asked
 */
export async function askDaemon(stateDir: string, path: string): Promise<unknown> {
  const socket = socketPath(stateDir);
  let answer: Answer;
  try {
    answer = await get({ socketPath: socket, path });
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOENT" || code === "ECONNREFUSED" || code === "ENOTDIR") return undefined;
    if (code === "EACCES" || code === "EPERM") {
      throw new UserError(`not permitted to ask the daemon at ${socket}`, {
        remedy: "run it with sudo",
        cause: error,
      });
    }
    throw new UserError(`the daemon does not answer at ${socket}: ${errorMessage(error)}`, { cause: error });
  }
  if (answer.status !== 200)
    throw new UserError(`the daemon at ${socket} has no ${path} (status ${answer.status})`);
  try {
    return JSON.parse(answer.body);
  } catch (error) {
    throw new UserError(`the daemon at ${socket} answered what is not JSON`, { cause: error });
  }
}

/** A reading as it comes over the socket: counters are numbers. */
export type Told<T> = T extends bigint ? number : T extends object ? { [K in keyof T]: Told<T[K]> } : T;

export type ToldEndpoint = Told<EndpointReading>;

/** Everything that the daemon tells of itself. */
export interface DaemonReport {
  status: DaemonStatus;
  endpoints: ToldEndpoint[];
  ports: PortReading[];
  hostPorts: Told<HostPortReading>[];
  reasons: Told<ReasonReading>[];
  maps: MapReading[];
}

/** The daemon's status; undefined when none is running. */
export async function daemonStatus(stateDir: string): Promise<DaemonStatus | undefined> {
  return (await askDaemon(stateDir, "/status")) as DaemonStatus | undefined;
}

/** All that the daemon tells; undefined when none is running. */
export async function daemonReport(stateDir: string): Promise<DaemonReport | undefined> {
  const names = ["status", "endpoints", "ports", "hostPorts", "reasons", "maps"] as const;
  const answers = await Promise.all(names.map((name) => askDaemon(stateDir, `/${name}`)));
  // One that ends while it is asked is not running.
  if (answers.some((answer) => answer === undefined)) return undefined;
  return Object.fromEntries(names.map((name, index) => [name, answers[index]])) as unknown as DaemonReport;
}

/** @throws UserError when a daemon is running on this state directory */
export async function refuseSecondInstance(stateDir: string): Promise<void> {
  const status = await daemonStatus(stateDir);
  if (status === undefined) return;
  throw new UserError(`fairway is already running (pid ${status.pid}, state directory ${stateDir})`, {
    remedy: "stop it first; in another network namespace give each its own --state-dir and --bpffs",
  });
}
