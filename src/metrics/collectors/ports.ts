import type { PortReading } from "../../datapath/reader.js";
import { withPort } from "../../ip.js";
import type { CollectorKind } from "../collector.js";
import type { LabelValues } from "../exposition.js";
import { type EngineNames, KeptLabels } from "../kept_labels.js";
import { gauge } from "../metric.js";
import { inSteps } from "../pace.js";

const info = gauge({
  name: "fairway_published_port_info",
  unit: "none",
  help: "A published port that is in the datapath, and where it leads; always 1",
  labels: ["container", "project", "network", "proto", "published", "target"],
});
const count = gauge({
  name: "fairway_published_ports",
  unit: "ports",
  help: "Published ports (host address, port and protocol) that are in the datapath",
});

/** The published ports. */
export const ports: CollectorKind = {
  name: "ports",
  metrics: [info, count],
  create: ({ source }) => {
    const kept = new KeptLabels(labelsOf);
    return {
      *collect(out) {
        const all = source.reader?.ports();
        if (all === undefined) return;
        yield;
        out.add(count, [], all.length);
        kept.begin(source.engineState);
        yield* inSteps([all], 500, (port) => out.add(info, kept.next(port), 1));
      },
    };
  },
};

function labelsOf(port: PortReading, { projectOf }: EngineNames): LabelValues<typeof info.labels> {
  const { container, containerId, network, proto, published, containerAddress, containerPort } = port;
  const target = withPort(containerAddress, containerPort);
  return [container, projectOf(containerId), network, proto, published, target];
}
