import type { EngineEndpoint, EngineNetwork } from "../docker/model.js";

/**
 * The endpoint of a container's IPv4 default route, which is also that of its published ports.
 *
 * As the engine chooses it (libnetwork, Endpoint.Less and its sandbox heap): the highest gateway priority (28+; 0 in older
 * ones), networks that are not internal before those that are, then by network name. An endpoint without an IPv4 gateway
 * can't be it. All on internal networks: none.
 */
export function gatewayEndpoint(
  endpoints: EngineEndpoint[],
  networks: ReadonlyMap<string, EngineNetwork>,
): EngineEndpoint | undefined {
  return endpoints
    .flatMap((endpoint) => {
      const network = networks.get(endpoint.networkId);
      return network === undefined || network.internal || endpoint.gateway4 === undefined
        ? []
        : [{ endpoint, network }];
    })
    .sort(
      (a, b) =>
        b.endpoint.gatewayPriority - a.endpoint.gatewayPriority ||
        (a.network.name < b.network.name ? -1 : a.network.name > b.network.name ? 1 : 0),
    )[0]?.endpoint;
}
