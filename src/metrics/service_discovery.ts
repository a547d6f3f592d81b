/** /sd: Prometheus' http_sd of the engine's containers. Pure. */
import type { EngineContainer, EngineEndpoint } from "../docker/model.js";
import { type Address, withPort } from "../ip.js";
import { stripControls } from "../log/printable.js";
import { containerNames } from "./containers.js";

/** PORT or PORT/path, e.g. "9100", "8080/metrics": where a container has metrics of its own. */
export const SCRAPE_LABEL = "fairway.scrape";

/** As https://prometheus.io/docs/prometheus/latest/http_sd/ has it. */
export interface TargetGroup {
  targets: string[];
  labels: Record<string, string>;
}

export interface ScrapeTargets {
  targets: TargetGroup[];
  /** Containers whose label is not followed, and why; one line each. */
  refused: string[];
}

/**
 * The targets of all running containers that have the label. Labels are whatever somebody wrote: what is not exactly a port
 * and a plain path makes no target, and no label can name another address than the container's own.
 */
export function scrapeTargets(containers: readonly EngineContainer[]): ScrapeTargets {
  const targets: TargetGroup[] = [];
  const refused: string[] = [];
  for (const container of containers) {
    const label = container.labels[SCRAPE_LABEL];
    if (label === undefined || !container.running) continue;
    const place = parseScrapeLabel(label);
    const endpoint = reachable(container);
    const address = endpoint?.address4 ?? endpoint?.address6;
    if (place === undefined) {
      const shown = stripControls(label.slice(0, 80));
      refused.push(`container ${container.name}: ${SCRAPE_LABEL} is PORT or PORT/path, not "${shown}"`);
    } else if (endpoint === undefined || address === undefined) {
      refused.push(`container ${container.name}: it has no address on a network of its own`);
    } else targets.push(target(container, endpoint, address, place));
  }
  return { targets, refused };
}

function target(
  container: EngineContainer,
  endpoint: EngineEndpoint,
  address: Address,
  { port, path }: { port: number; path: string },
): TargetGroup {
  const { project, service } = containerNames(container);
  return {
    targets: [withPort(address, port)],
    labels: {
      __metrics_path__: path,
      container: container.name,
      network: stripControls(endpoint.networkName),
      ...(project === "" ? {} : { project: stripControls(project) }),
      ...(service === "" ? {} : { service: stripControls(service) }),
    },
  };
}

/**
 * @returns undefined for what is not a port (1 to 65535), alone or with an absolute path of at most 200 characters that need no
 *   escape in a URL; no query
 */
export function parseScrapeLabel(label: string): { port: number; path: string } | undefined {
  const match = /^([1-9]\d{0,4})(\/[A-Za-z0-9._~!$&'()*+,;=:@/-]{0,199})?$/.exec(label);
  const port = Number(match?.[1]);
  if (match === null || port > 65535) return undefined;
  return { port, path: match[2] ?? "/metrics" };
}

/** The endpoint of the container's gateway, as the engine chooses it: highest priority, then by name; one with an address. */
function reachable({ endpoints }: EngineContainer): EngineEndpoint | undefined {
  return endpoints
    .filter(({ address4, address6 }) => address4 !== undefined || address6 !== undefined)
    .sort((a, b) => b.gatewayPriority - a.gatewayPriority || (a.networkName < b.networkName ? -1 : 1))[0];
}
