/** Every collector, and so every metric that there is. */
import type { CollectorKind } from "./collector.js";
import { buildInfo } from "./collectors/build-info.js";
import { cadvisor } from "./collectors/cadvisor.js";
import { connections } from "./collectors/connections.js";
import { conntrack } from "./collectors/conntrack.js";
import { containers } from "./collectors/containers.js";
import { endpoints } from "./collectors/endpoints.js";
import { engine } from "./collectors/engine.js";
import { firewall } from "./collectors/firewall.js";
import { flows } from "./collectors/flows.js";
import { hostSockets } from "./collectors/host-sockets.js";
import { maps } from "./collectors/maps.js";
import { networks } from "./collectors/networks.js";
import { pairs } from "./collectors/pairs.js";
import { portCounters } from "./collectors/port-counters.js";
import { ports } from "./collectors/ports.js";
import { processCollector } from "./collectors/process.js";
import { programs } from "./collectors/programs.js";
import { reasons } from "./collectors/reasons.js";
import { reconcile } from "./collectors/reconcile.js";
import { uplinks } from "./collectors/uplinks.js";
import { gauge, type Metric } from "./metric.js";

/** In the order of /metrics and of docs/metrics.md. */
export const collectorKinds: readonly CollectorKind[] = [
  endpoints,
  connections,
  reasons,
  ports,
  portCounters,
  hostSockets,
  firewall,
  networks,
  pairs,
  containers,
  uplinks,
  flows,
  conntrack,
  maps,
  programs,
  reconcile,
  engine,
  buildInfo,
  processCollector,
  cadvisor,
];

const labels = ["collector"] as const;

/** Of the collectors themselves. */
export const scrapeMetrics = {
  success: gauge({
    name: "fairway_collector_success",
    unit: "none",
    help: "1 when the collector could read its subject at this scrape, else 0; then it has no other metrics",
    labels,
  }),
  duration: gauge({
    name: "fairway_collector_duration_seconds",
    unit: "seconds",
    help: "How long the collector took at this scrape, pauses included",
    labels,
  }),
  held: gauge({
    name: "fairway_collector_held_seconds",
    unit: "seconds",
    help: "The longest time at this scrape that the collector held up everything else of the daemon",
    labels,
  }),
};

/** What the labels mean, for docs/metrics.md. */
export const labelMeanings: Readonly<Record<string, string>> = {
  container: "the container's name; empty where a packet belongs to no endpoint that is known",
  project: "the compose project (label `com.docker.compose.project`); empty for a container of none",
  service: "the compose service",
  network: "the network's name",
  from: "the container that sent",
  to: "the container that it was sent to",
  path: "`fast`: handled by fairway; `slow`: left to the kernel, or to the engine's own way",
  direction: "`receive`: towards the container; `transmit`: from it",
  reason: "why it was dropped or left to the kernel, see [the reasons](#reasons)",
  verdict: "`pass`, `drop`",
  proto: "`tcp`, `udp`",
  published: "host address and port that it is published on; `0.0.0.0` and `[::]` are any",
  target: "the container's address and port",
  device: "a device of the host",
  bridge: "the network's bridge; of ipvlan and macvlan the parent",
  addresses: "addresses, with commas between them",
  container_id: "the engine's id of the container; only on `_info`",
  endpoint_id: "the engine's id of the endpoint; only on `_info`",
  driver: "the network's driver",
  driver_mode: "of ipvlan `l2`, `l3`, `l3s`; of macvlan `bridge`, `private`, `vepa`, `passthru`; else empty",
  internal: "`true` where nothing leads outside",
  icc: "`true` where the network's containers may reach each other",
  masquerade: "`true` where connections to the outside are masqueraded",
  ipv6: "`true` where the network has IPv6",
  map: "a BPF map, see [every map](architecture.md#every-map)",
  program: "a BPF program",
  collector: "what was read: the headings of this page",
  result: "`success`, `failure`",
  phase: "`engine`, `host`, `apply`",
  trigger: "what set the pass off",
  change: "`added`, `removed`",
  code: "the kind of warning",
  type: "`container`, `network`, `daemon`, `other`",
  version: "a version",
  api_version: "the version of the engine's API",
  kernel: "the kernel's release",
  mode: "`accelerate`, `replace`",
  attach: "`tcx`, `clsact`",
  adopted: "`true`, `false`",
  id: "cAdvisor's id of a container: `/docker/ID`",
  name: "the container's name",
  interface: "the network's name",
};

/** All metrics by the collector that has them. */
export function catalogue(): { collector: string; metrics: readonly Metric[] }[] {
  return [
    ...collectorKinds.map(({ name, metrics }) => ({ collector: name, metrics })),
    { collector: "collector", metrics: Object.values(scrapeMetrics) },
  ];
}
