import type { EngineContainer } from "../docker/model.js";

const PROJECT = "com.docker.compose.project";
const SERVICE = "com.docker.compose.service";

/** What the labels of a container's metrics say besides its name. */
export interface ContainerNames {
  /** The compose project; "" for a container of none. */
  project: string;
  /** The compose service. */
  service: string;
}

export function containerNames({ labels }: Pick<EngineContainer, "labels">): ContainerNames {
  return { project: labels[PROJECT] ?? "", service: labels[SERVICE] ?? "" };
}

const remembered = new WeakMap<readonly EngineContainer[], ReadonlyMap<string, string>>();

/**
 * Compose projects by container id; "" for containers that are not known (any more).
 * @param containers a list that does not change: several collectors ask for the same one
 */
export function projects(containers: readonly EngineContainer[]): (containerId: string) => string {
  const byId =
    remembered.get(containers) ??
    new Map(containers.map((container) => [container.id, containerNames(container).project]));
  remembered.set(containers, byId);
  return (containerId) => byId.get(containerId) ?? "";
}
