// The lab's library: a real engine and real containers in network namespaces.

export { Capture } from "./capture.js";
export type { Container, RunContainer } from "./container.js";
export { Disposers } from "./disposers.js";
export {
  Engine,
  type EngineKind,
  type EngineOptions,
  engineKinds,
  engineSubnet6,
  enginesToTest,
} from "./engine.js";
export {
  Fairway,
  fairwayCleanup,
  fairwayCommand,
  fairwayPlaces,
  metricsAddress,
  runArguments,
} from "./fairway.js";
export type { ImageName } from "./images.js";
export { createDirectLab, createLab, type DirectLab, type Lab } from "./lab.js";
export { difference, fastShare, Metrics, type PathCounts, pathCounts } from "./metrics.js";
export { createNamespace, joinByVeth, Namespace } from "./namespace.js";
export { agent, cacheDir, root } from "./paths.js";
export { Background, CommandError, patience, type Result, run, sleep, until } from "./process.js";
export { addresses, addresses6, type Hosts } from "./topology.js";
