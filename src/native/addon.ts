import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import type {
  ClsactFilter,
  LinkInfo,
  MapBatch,
  MapInfo,
  MapSpec,
  MapSums,
  ProgramInfo,
  RunResult,
  TestRunOptions,
  TestRunResult,
} from "./bpf-types.js";
import type { ConntrackEntry, ConntrackTcpUpdate, ConntrackTuple } from "./conntrack-types.js";
import { NativeError, type NativeFailure } from "./errors.js";
import type { NetAddress, NetEvent, NetLink, NetNeighbour, NetRoute } from "./netlink-types.js";

/*
 * What native/addon.cc exports, in its own terms: handles and numbers. The classes beside this file give it the
 * surface that the rest of the program uses. Every function throws NativeError.
 */

export interface MapHandle {
  info(): MapInfo;
  valueLength(): number;
  get(key: Uint8Array): Buffer | undefined;
  set(key: Uint8Array, value: Uint8Array, flags: number): void;
  delete(key: Uint8Array): boolean;
  getBatch(cursor: Uint8Array | undefined, count: number): MapBatch;
  sumBatch(cursor: Uint8Array | undefined, count: number): MapSums;
  setBatch(keys: Uint8Array, values: Uint8Array): number;
  deleteBatch(keys: Uint8Array): number;
  pin(path: string): void;
  close(): void;
}

export interface ProgramHandle {
  info(): ProgramInfo;
  testRun(options: TestRunOptions): TestRunResult;
  run(context: Uint8Array): RunResult;
  /** direction: 0 ingress, 1 egress; before: true puts it before relativeId (0: before all), false after it. */
  attachTcx(ifindex: number, direction: number, before: boolean, relativeId: number): LinkHandle;
  attachXdp(ifindex: number, generic: boolean): LinkHandle;
  attachClsact(ifindex: number, direction: number, priority: number, handle: number): boolean;
  attachCgroup(path: string, type: string): LinkHandle;
  pin(path: string): void;
  close(): void;
}

export interface LinkHandle {
  info(): LinkInfo;
  pin(path: string): void;
  update(program: ProgramHandle): void;
  detach(): void;
  close(): void;
}

export interface ObjectHandle {
  maps(): string[];
  programs(): { name: string; section: string; type: string }[];
  setConstant(name: string, value: Uint8Array): void;
  setMaxEntries(map: string, entries: number): void;
  setAutoload(program: string, on: boolean): void;
  reuseMap(name: string, map: MapHandle): void;
  load(): void;
  map(name: string): MapHandle;
  program(name: string): ProgramHandle;
  close(): void;
}

/** A thing that calls back until it is closed; it keeps the process alive until then. */
export interface WatchHandle {
  close(): void;
}

export interface MonitorHandle extends WatchHandle {
  poll(): void;
}

export interface Addon {
  /** Of the build with sanitizers: has what leaked until now reported. */
  checkLeaks?(): void;
  init(makeError: (failure: NativeFailure) => Error): void;
  openPinnedMap(path: string): MapHandle;
  createMap(spec: MapSpec): MapHandle;
  openPinnedProgram(path: string): ProgramHandle;
  openProgramById(id: number): ProgramHandle;
  openPinnedLink(path: string): LinkHandle;
  linkDevices(links: LinkHandle[]): number[];
  openObject(image: Uint8Array, name: string): ObjectHandle;
  detachClsact(ifindex: number, direction: number, priority: number, handle: number): boolean;
  clsactFilters(ifindex: number, direction: number): ClsactFilter[];
  removeClsact(ifindex: number): boolean;
  ringBuffer(map: MapHandle, onRecord: (record: Buffer) => void, budget: number): WatchHandle;
  possibleCpus(): number;
  nsPerJiffy(): number;
  supportsTcx(): boolean;
  tcxPrograms(ifindex: number, direction: number): number[];
  listLinks(): NetLink[];
  getLinks(ifindexes: number[]): NetLink[];
  listAddresses(): NetAddress[];
  findRoute(address: string): NetRoute | undefined;
  listRoutes(longest4: number, longest6: number): NetRoute[];
  listNeighbours(): NetNeighbour[];
  firewallGeneration(): number;
  netnsIds(paths: string[]): (number | undefined)[];
  enterNetworkNamespace(path: string): void;
  netMonitor(groups: string[], onEvents: (events: NetEvent[]) => void, onLost: () => void): MonitorHandle;
  listConntrack(family: number): ConntrackEntry[];
  deleteConntrack(original: ConntrackTuple): boolean;
  deleteConntrackOf(family: number, address: string): boolean;
  netnsCookie(): bigint;
  redialUdp(pid: number, cookie: bigint, address: Uint8Array, port: number): boolean;
  /** told: bytes written, bytes newly marked. Returns the next line. */
  writeLines(
    piece: Uint8Array,
    store: Uint8Array,
    name: number,
    places: Int32Array,
    values: Float64Array,
    from: number,
    end: number,
    mark: number,
    told: Float64Array,
  ): number;
  returnLargeBlocks(bytes: number): void;
  updateConntrackTcp(updates: ConntrackTcpUpdate[]): number;
}

let loaded: Addon | undefined;

/**
 * The addon, loaded at its first use, so that what needs no kernel (the help text, the planner's tests) runs without it.
 * It lies in build/Release of the package, two directories above both src/native and dist/native;
 * FAIRWAY_NATIVE names another file (the build with the sanitizers). Throws NativeError ENOENT when it was not built.
 */
export function addon(): Addon {
  if (loaded !== undefined) return loaded;
  const path =
    process.env.FAIRWAY_NATIVE ??
    fileURLToPath(new URL("../../build/Release/fairway_native.node", import.meta.url));
  if (!existsSync(path)) {
    throw new NativeError({
      errno: constants.errno.ENOENT,
      operation: "load addon",
      object: path,
      text: "No such file or directory",
      detail: "npm run build makes it",
    });
  }
  const fresh = load(path);
  fresh.init((failure) => new NativeError(failure));
  loaded = fresh;
  return fresh;
}

/** NativeError ENOEXEC with the loader's words when the file is not for this machine, or a library of it is missing. */
function load(path: string): Addon {
  try {
    return createRequire(import.meta.url)(path) as Addon;
  } catch (error) {
    throw new NativeError({
      errno: constants.errno.ENOEXEC,
      operation: "load addon",
      object: path,
      text: "Exec format error",
      detail: error instanceof Error ? error.message : String(error),
    });
  }
}
