import type { PortReading } from "../../datapath/reader.js";
import type { EngineContainer } from "../../docker/model.js";
import { withPort } from "../../ip.js";
import type { CollectorKind } from "../collector.js";
import { projects } from "../containers.js";
import type { LabelValues } from "../exposition.js";
import { gauge } from "../metric.js";

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
    /** Of the list of ports and the containers that they are of. */
    let labels: LabelValues<typeof info.labels>[] = [];
    let of: readonly unknown[] = [];
    return {
      *collect(out) {
        const containers = source.engineState?.containers ?? NONE;
        const all = source.reader?.ports();
        if (all === undefined) return;
        yield;
        out.add(count, [], all.length);
        if (of[0] !== all || of[1] !== containers) {
          of = [all, containers];
          labels = [];
        }
        const projectOf = projects(containers);
        for (const [index, port] of all.entries()) {
          const known = labels[index] ?? labelsOf(port, projectOf);
          labels[index] = known;
          out.add(info, known, 1);
          if (index % 500 === 499) yield;
        }
      },
    };
  },
};

const NONE: readonly EngineContainer[] = [];

function labelsOf(port: PortReading, projectOf: (containerId: string) => string) {
  const { container, containerId, network, proto, published, containerAddress, containerPort } = port;
  const target = withPort(containerAddress, containerPort);
  return [container, projectOf(containerId), network, proto, published, target] as const;
}
