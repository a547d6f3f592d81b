import type { ReasonReading } from "../../datapath/reader.js";
import type { CollectorKind } from "../collector.js";
import type { LabelValues } from "../exposition.js";
import { type EngineNames, KeptLabels } from "../kept_labels.js";
import { counter } from "../metric.js";
import { inSteps } from "../pace.js";

const labels = ["container", "project", "network", "direction", "reason"] as const;
const dropped = counter({
  name: "fairway_endpoint_dropped_packets_total",
  unit: "packets",
  help: "Packets dropped, by the reason why",
  labels,
});
const droppedBytes = counter({
  name: "fairway_endpoint_dropped_bytes_total",
  unit: "bytes",
  help: "Bytes of the packets dropped, from the IP header on",
  labels,
});
const slow = counter({
  name: "fairway_slow_path_packets_total",
  unit: "packets",
  help: "Packets left to the kernel, by the reason why",
  labels,
});

/**
 * Why packets were not on the fast path: dropped, or left to the kernel. Packets that belong to no known endpoint have
 * empty labels `container`, `project` and `network`.
 */
export const reasons: CollectorKind = {
  name: "reasons",
  metrics: [dropped, droppedBytes, slow],
  create: ({ source }) => {
    const kept = new KeptLabels(labelsOf);
    return {
      *collect(out) {
        kept.begin(source.engineState);
        yield* inSteps(source.reader?.reasonSteps() ?? [], 500, (reading) => {
          const values = kept.next(reading);
          if (reading.verdict === "drop") {
            out.add(dropped, values, reading.packets);
            out.add(droppedBytes, values, reading.bytes);
          } else out.add(slow, values, reading.packets);
        });
      },
    };
  },
};

function labelsOf(
  { container = "", containerId = "", network = "", direction, reason }: ReasonReading,
  { projectOf }: EngineNames,
): LabelValues<typeof labels> {
  return [container, projectOf(containerId), network, direction, reason];
}
