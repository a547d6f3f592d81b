import type { EngineEndpoint, EngineNetwork } from "../docker/model.js";
import { type PerFamily, perFamily } from "../ip.js";

/**
 * The endpoints of a container's default routes, which are also those of its published ports.
 *
 * As the engine chooses them (libnetwork, Endpoint.Less and its sandbox heap): one with gateways of both families wherever it
 * comes; then the highest gateway priority (28+; 0 in older ones), then by network name. Networks that are internal have no
 * part in it. Without one that has both, it is the first of each family. All on internal networks: none.
 */
export function gatewayEndpoints(
  endpoints: EngineEndpoint[],
  networks: ReadonlyMap<string, EngineNetwork>,
): PerFamily<EngineEndpoint | undefined> {
  const candidates = endpoints
    .flatMap((endpoint) => {
      const network = networks.get(endpoint.networkId);
      return network === undefined || network.internal ? [] : [{ endpoint, network }];
    })
    .sort(
      (a, b) =>
        b.endpoint.gatewayPriority - a.endpoint.gatewayPriority ||
        (a.network.name < b.network.name ? -1 : a.network.name > b.network.name ? 1 : 0),
    )
    .map(({ endpoint }) => endpoint);
  const both = candidates.find((e) => e.gateway4 !== undefined && e.gateway6 !== undefined);
  return perFamily(
    (family) => both ?? candidates.find((e) => (family === 4 ? e.gateway4 : e.gateway6) !== undefined),
  );
}
