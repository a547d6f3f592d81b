/**
 * BPF, rtnetlink and conntrack for TypeScript: generic and thin, with no knowledge of Docker or of this program.
 * Calls are synchronous; every failure is a NativeError.
 */
export {
  type ConntrackEntry,
  type ConntrackTcpUpdate,
  type ConntrackTuple,
  deleteConntrack,
  deleteConntrackOf,
  listConntrack,
  updateConntrackTcp,
} from "./conntrack.js";
export { NativeError } from "./errors.js";
export { BpfLink, type LinkInfo, linkDevices } from "./link.js";
export { BpfMap, type MapBatch, type MapInfo, type MapSpec } from "./map.js";
export {
  firewallGeneration,
  getLinks,
  listAddresses,
  listLinks,
  listNeighbours,
  listRoutes,
  type NetAddress,
  type NetEvent,
  type NetGroup,
  type NetLink,
  NetMonitor,
  type NetNeighbour,
  type NetRoute,
  netnsId,
  netnsIds,
} from "./netlink.js";
export { BpfObject } from "./object.js";
export {
  BpfProgram,
  type ClsactFilter,
  type ClsactOptions,
  clsactFilters,
  type Direction,
  detachClsact,
  type ProgramInfo,
  type RunResult,
  removeClsact,
  type TcxOptions,
  type TestRunOptions,
  type TestRunResult,
  tcxPrograms,
} from "./program.js";
export { RingBuffer } from "./ring-buffer.js";
export { netnsCookie, redialUdp } from "./socket.js";
export { enterNetworkNamespace, kernelBtfAvailable, possibleCpus, supportsTcx } from "./system.js";
