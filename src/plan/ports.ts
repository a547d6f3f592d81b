import { isUnicast, parseIpv4 } from "../ipv4.js";
import type { GatewayOf, PlannedPort, PlanWarning } from "./types.js";

/**
 * Published ports of IPv4, each led to its container's gateway endpoint. Left to the engine's own ways: loopback host
 * addresses, IPv6 host addresses, SCTP, and networks whose gateway does not translate.
 */
export function planPorts(gateways: GatewayOf[], warnings: PlanWarning[]): PlannedPort[] {
  const byKey = new Map<string, PlannedPort>();
  for (const { container, network, endpoint } of gateways) {
    if (!["nat", "nat-unprotected"].includes(network.gatewayModeIpv4 ?? "nat")) continue;
    for (const published of container.ports) {
      if (published.proto === "sctp") continue;
      const address = parseIpv4(published.hostIp);
      if (address === undefined || (address !== 0 && !isUnicast(address))) continue;
      const planned: PlannedPort = {
        proto: published.proto,
        address,
        port: published.hostPort,
        endpointId: endpoint.endpointId,
        containerAddress: endpoint.address,
        containerPort: published.containerPort,
      };
      const key = `${planned.proto} ${address} ${planned.port}`;
      const other = byKey.get(key);
      if (other === undefined) {
        byKey.set(key, planned);
      } else if (other.endpointId !== planned.endpointId || other.containerPort !== planned.containerPort) {
        warnings.push({
          code: "port_conflict",
          message: `${published.hostIp}:${published.hostPort}/${published.proto} is published twice; the first one keeps it`,
          transient: true,
        });
      }
    }
  }
  return [...byKey.values()].sort(
    (a, b) =>
      (a.proto < b.proto ? -1 : a.proto > b.proto ? 1 : 0) || a.address - b.address || a.port - b.port,
  );
}
