import type { EngineContainer } from "../../docker/model.js";
import type { CollectorKind } from "../collector.js";
import { containerNames } from "../containers.js";
import { KeptLabels } from "../kept_labels.js";
import { gauge } from "../metric.js";
import { inSteps } from "../pace.js";
import { scrapeTargets } from "../service_discovery.js";

const running = gauge({
  name: "fairway_containers",
  unit: "containers",
  help: "Running containers of the engine",
});
const info = gauge({
  name: "fairway_container_info",
  unit: "none",
  help: "A running container's id, compose project and service; always 1",
  labels: ["container", "project", "service", "container_id"],
  moreLabels: "`label_NAME` for each name of `metrics-labels`",
});
const targets = gauge({
  name: "fairway_scrape_targets",
  unit: "targets",
  help: "Containers that /sd has as targets for Prometheus",
});
const refused = gauge({
  name: "fairway_scrape_labels_refused",
  unit: "containers",
  help: "Containers with a label fairway.scrape that /sd leaves out: not PORT[/path], or no address",
});

/** The engine's running containers. */
export const containers: CollectorKind = {
  name: "containers",
  metrics: [running, info, targets, refused],
  create: ({ source, labels = [] }) => {
    const wanted = labels.map((name) => [name, `label_${name.replace(/[^A-Za-z0-9_]/g, "_")}`] as const);
    const kept = new KeptLabels((container: EngineContainer) => {
      const { project, service } = containerNames(container);
      return {
        values: [container.name, project, service, container.id] as const,
        more: wanted.map(([name, label]) => [label, container.labels[name] ?? ""] as const),
      };
    });
    return {
      *collect(out) {
        const state = source.engineState;
        if (state === undefined) return;
        kept.begin(state);
        const all = state.containers.filter((container) => container.running);
        out.add(running, [], all.length);
        yield* inSteps([all], 200, (container) => {
          const { values, more } = kept.next(container);
          out.add(info, values, 1, more);
        });
        const found = scrapeTargets(state.containers);
        out.add(targets, [], found.targets.length);
        out.add(refused, [], found.refused.length);
      },
    };
  },
};
