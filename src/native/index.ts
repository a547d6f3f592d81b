/**
 * BPF, rtnetlink and conntrack for TypeScript: generic and thin, with no knowledge of Docker or of this program.
 * Calls are synchronous; every failure is a NativeError.
 */
export type {
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
export {
  deleteConntrack,
  deleteConntrackOf,
  listConntrack,
  updateConntrackTcp,
} from "./conntrack.js";
export type { ConntrackEntry, ConntrackTcpUpdate, ConntrackTuple } from "./conntrack-types.js";
export { NativeError } from "./errors.js";
export { writeLines } from "./lines.js";
export { BpfLink, linkDevices } from "./link.js";
export { BpfMap } from "./map.js";
export { returnLargeBlocks } from "./memory.js";
export {
  findRoute,
  firewallGeneration,
  getLinks,
  listAddresses,
  listLinks,
  listNeighbours,
  listRoutes,
  NetMonitor,
  netnsId,
  netnsIds,
} from "./netlink.js";
export type {
  NetAddress,
  NetEvent,
  NetGroup,
  NetLink,
  NetNeighbour,
  NetRoute,
} from "./netlink-types.js";
export { BpfObject } from "./object.js";
export {
  BpfProgram,
  type ClsactOptions,
  clsactFilters,
  type Direction,
  detachClsact,
  removeClsact,
  type TcxOptions,
  tcxPrograms,
} from "./program.js";
export { RingBuffer } from "./ring-buffer.js";
export { netnsCookie, redialUdp } from "./socket.js";
export {
  enterNetworkNamespace,
  kernelBtfAvailable,
  nsPerJiffy,
  possibleCpus,
  supportsTcx,
} from "./system.js";
